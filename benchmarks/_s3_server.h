/* What the files of the S3 service for measuring share; see _s3_server.c. */

#ifndef S3_SERVER_H
#define S3_SERVER_H

#include <stddef.h>
#include <stdint.h>

#define INPUT 65536
#define OUTPUT 4096
#define MAX_BODY (16 << 20) /* of a bulk delete */
#define PART (8 << 20)      /* bytes of a part, where an object's parts are asked for */
#define LITERAL(text) (text), sizeof(text) - 1

enum state { HEAD, DROP, KEEP, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, CHUNK_TRAILER, SEND };

struct connection {
    int fd;
    enum state state;
    int writing, last, head_only; /* waits for room; close afterwards; answer without body */
    char *input;
    size_t have, used;
    char method[8], target[4096];
    uint64_t left, got;           /* of the request's body: to come, seen */
    uint64_t decoded;             /* bytes of the object in it */
    char *body;                   /* of a bulk delete */
    uint64_t range_start, range_stop;
    int ranged, want_checksum, trailer;
    char sum[128];                /* header line with the body's checksum, as the client told it */
    char md5[33];                 /* of the body, as the client told it */
    char output[OUTPUT];
    size_t out_length, out_sent;
    const char *memory;           /* answer's body: memory, freed if owned; a footer; the block */
    char *owned;
    size_t memory_left;
    const char *footer;
    size_t footer_left;
    uint64_t file_at, file_left;
};

/* _s3_server.c */
extern uint64_t requests, received;
const char *parameter(const char *target, const char *name);
void head(struct connection *c, int status, uint64_t length, const char *more, ...)
    __attribute__((format(printf, 4, 5)));

/* _s3_answers.c */
extern int block_file;
extern size_t block_size;
void prepare_content(const char *path, int count, char **known);
void answer(struct connection *c);
const char *etag(uint64_t size);
void note_checksum(struct connection *c, const char *from, const char *end);

/* _s3_listing.c */
void prepare_listings(void);
void list(struct connection *c, const char *bucket);

#endif
