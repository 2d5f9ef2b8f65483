// Of the keg-storage documentation, "Usage", "Uploads": its JavaScript example, whose text begins
// at `const resp`. Given: the link; the path of the file. Prints the status of the answer.
const axios = require("axios");
const file = require("fs").readFileSync(process.argv[3]);
async function upload(storageUrl) {
const resp = await axios.default.put(storageUrl, file, {
headers: { "content-type": "application/octet-stream" },
});
return resp.status;
}
upload(process.argv[2]).then(console.log, (error) => {
  console.error(error.response ? error.response.status : error.message);
  process.exitCode = 1;
});
