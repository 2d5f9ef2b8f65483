"""A strict double of Google Cloud Storage, written from its public pages.

What it is for: the servers that can be had for tests check no credential, no signature, few
preconditions and no digest, so a green test against them proves nothing there. This one
checks all of them, over a real socket, and refuses what the pages do not document (400) and
what they document and it does not do (501), with a line in its log. It guesses nothing in
silence.

State lives in memory, bodies above 64 KiB in files of a temporary folder; both are gone when
it ends. Start it with ``python -m tests.servers.gcs_gate --help``.

The modules name the page a rule comes from in short: ``json:`` is
cloud.google.com/storage/docs/json_api/v1/, ``xml:`` is cloud.google.com/storage/docs/xml-api/,
``docs:`` is cloud.google.com/storage/docs/.

Where pages leave a choice, the gate takes the stricter one, and a client has to cope with
either: which error code a malformed signature gets beyond those that are listed; 304 for a
negative condition of a write, as the table of request-preconditions has it for all methods;
a negative condition on a metageneration fails where there is no object; links for POST start
resumable uploads and nothing else; a path in a signature counts as percent-encoded, with
slashes left alone; a link for GET is not one for HEAD (a page of a client library says it is);
the clock of a client may be 15 minutes off.

Taken with a note in the log, because clients in wide use send it: POST instead of PUT to the
address of a resumable session.

Not here: the rate limit of one write a second for a name, soft delete, object holds and
retention, access control lists other than public reading, encryption keys of the caller or of
KMS, requester pays, notifications, lifecycle, hierarchical namespaces, folders, matchGlob, V2
signatures, the AWS4 signature, several ranges in one request.
"""

VERSION = "1"
