"""The portable logic, once for all drivers and both faces: validation, capability gate,
error context, retry, integrity, paging, multipart plans and links."""
