# Of the Oystehr documentation, "Introduction to Oystehr Z3": the full code of its example.
# Given: the host, with its scheme; the token. The CSV file is in the working directory.
# ruff: noqa: E402, I001, SIM115
# fmt: off
import sys
host, token = sys.argv[1:]

import requests
import json

create_request = requests.put(f"{host}/v1/z3/fruit-vegetables",
headers={
"Authorization": f"Bearer {token}"
}
)
print(create_request.json())
upload_request = requests.post(f"{host}/v1/z3/fruit-vegetables/fruit-and-vegetable-consumption-in-california-residents-2012-2013-.csv",
headers={
"Authorization": f"Bearer {token}"
},
data=json.dumps({
"action": "upload"
})
)
print(upload_request.json())
upload_url = upload_request.json()["signedUrl"]
information = open("fruit-and-vegetable-consumption-in-california-residents-2012-2013-.csv", "rb").read()
requests.put(upload_url, data=information)
download_request = requests.post(f"{host}/v1/z3/fruit-vegetables/fruit-and-vegetable-consumption-in-california-residents-2012-2013-.csv",
headers={
"Authorization": f"Bearer {token}"
},
data=json.dumps({
"action": "download"
})
)
download_url = download_request.json()["signedUrl"]
print(download_url)
t = requests.get(f"{host}/v1/z3/fruit-vegetables",
headers={
"Authorization": f"Bearer {token}"
}
)
print(t.json())
