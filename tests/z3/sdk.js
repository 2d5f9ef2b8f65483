// All Z3 calls of @oystehr/sdk, in the order of a file's life. Prints what they gave, as JSON.
// Given: the URL of the project API, the token, and the id of the project.
const Oystehr = require("@oystehr/sdk").default;

const [projectApiUrl, accessToken, projectId] = process.argv.slice(2);
const { z3 } = new Oystehr({ accessToken, projectId, services: { projectApiUrl } });

// As real deployments name theirs: longer than S3 allows, with upper case.
const bucketName = "0b5a3a2e-7f1c-4a53-9a63-8f6b4a1f9a10-patient-docs-TelemedRecordings";
const text = async (answer) => Buffer.from(await answer).toString();
const failure = async (promise) => {
  try {
    await promise;
  } catch (error) {
    return { name: error.constructor.name, message: error.message, code: error.code };
  }
  throw new Error("it did not fail");
};

(async () => {
  const told = {};
  told.none = await z3.listBuckets();
  told.created = await z3.createBucket({ bucketName });
  told.again = await failure(z3.createBucket({ bucketName }));
  told.buckets = await z3.listBuckets();

  const file = new Blob(["one, two\n"], { type: "text/csv" });
  await z3.uploadFile({ bucketName, "objectPath+": "folder/a file (1).csv", file });
  await z3.uploadFile({ bucketName, "objectPath+": "folder/sub/b", file: new Blob(["b"]) });
  await z3.uploadFile({ bucketName, "objectPath+": "top", file: new Blob([]) });
  told.downloaded = await text(
    z3.downloadFile({ bucketName, "objectPath+": "folder/a file (1).csv" })
  );
  told.empty = await text(z3.downloadFile({ bucketName, "objectPath+": "top" }));
  told.missing = await failure(z3.downloadFile({ bucketName, "objectPath+": "missing" }));

  const list = (path, more) => z3.listObjects({ bucketName, "objectPath+": path, ...more });
  told.objects = await list("");
  told.below = await list("folder/");
  told.direct = await list("", { direct: true });
  told.notDirect = await list("", { direct: false });
  told.nothing = await list("nothing");

  const upload = await z3.getPresignedUrl({
    action: "upload", bucketName, "objectPath+": "empty", isFolder: true,
  });
  told.folderPut = (await fetch(upload.signedUrl, { method: "PUT" })).status;
  told.withFolder = await list("empty");

  for (const url of [`z3://${bucketName.toLowerCase()}/by/url`, `${projectApiUrl}/z3/${bucketName}/by/url`]) {
    // Its host part is put in lower case by `new URL`, so only the second one is there.
    told[url.slice(0, 2)] = url.startsWith("z3:")
      ? await failure(z3.getPresignedUrlForZ3Url({ url, action: "upload" }))
      : (await fetch((await z3.getPresignedUrlForZ3Url({ url, action: "upload" })).signedUrl, {
          method: "PUT", body: "by url",
        })).status;
  }
  told.byUrl = await text(z3.downloadFile({ bucketName, "objectPath+": "by/url" }));
  told.badUrl = await failure(z3.getPresignedUrlForZ3Url({ url: "ftp://x/y", action: "upload" }));

  told.notEmpty = await failure(z3.deleteBucket({ bucketName }));
  for (const path of ["top", "by/url"]) await z3.deleteObject({ bucketName, "objectPath+": path });
  await z3.deleteObject({ bucketName, "objectPath+": "empty", children: [] });
  const children = (await list("folder/")).map((entry) => entry.key);
  await z3.deleteObject({ bucketName, "objectPath+": "folder", children });
  told.left = await list("");
  told.deleted = await z3.deleteBucket({ bucketName });
  told.gone = await failure(z3.listObjects({ bucketName, "objectPath+": "" }));
  told.stranger = await failure(z3.listBuckets({ accessToken: "not-a-token" }));
  told.elsewhere = await failure(z3.listBuckets({ accessToken, projectId: "another" }));
  console.log(JSON.stringify(told));
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
