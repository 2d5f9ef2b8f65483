"""Who may do what: projects, principals, credentials, policies, logical buckets, audit."""
