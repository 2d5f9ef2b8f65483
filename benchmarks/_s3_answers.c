/* What the S3 service for measuring answers to each request. */

#define _GNU_SOURCE
#include <ctype.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "_s3_server.h"

#define FAKE "0123456789abcdef0123456789abcdef"
#define XMLNS " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""

int block_file;
size_t block_size;

static const unsigned char *block;
static int known_count;
static char **known; /* SIZE=MD5 of content of that many bytes */

/* --- content: the block, again and again ------------------------------------------------- */

void prepare_content(const char *path, int count, char **texts) {
    struct stat found;
    block_file = path ? open(path, O_RDONLY | O_CLOEXEC) : memfd_create("block", MFD_CLOEXEC);
    if (block_file < 0 || (!path && posix_fallocate(block_file, 0, 4 << 20))
        || fstat(block_file, &found) || !found.st_size) {
        perror(path ? path : "memfd");
        exit(1);
    }
    block_size = found.st_size;
    block = mmap(NULL, block_size, PROT_READ, MAP_SHARED, block_file, 0);
    if (block == MAP_FAILED) abort();
    known_count = count;
    known = texts;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2")))
static uint32_t crc32c(uint32_t crc, const unsigned char *at, size_t count) {
    uint64_t wide = crc, word;
    for (; count >= 8; count -= 8, at += 8) {
        memcpy(&word, at, 8);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    for (crc = wide; count--; at++) crc = __builtin_ia32_crc32qi(crc, *at);
    return crc;
}
#else
static uint32_t crc32c(uint32_t crc, const unsigned char *at, size_t count) {
    for (; count--; at++) {
        crc ^= *at;
        for (int k = 0; k < 8; k++) crc = crc & 1 ? 0x82F63B78u ^ (crc >> 1) : crc >> 1;
    }
    return crc;
}
#endif

/* CRC32C of an object of `size` bytes, in base64; the sizes last asked for are remembered. */
static const char *checksum(uint64_t size) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static struct { uint64_t size; char text[9]; } sums[8];
    static int next;
    for (int i = 0; i < 8; i++)
        if (sums[i].size == size && *sums[i].text) return sums[i].text;
    uint32_t crc = ~0u;
    for (uint64_t left = size; left;) {
        size_t some = left < block_size ? left : block_size;
        crc = crc32c(crc, block, some);
        left -= some;
    }
    uint64_t bits = (uint64_t)~crc << 16; /* 48 bits, the last 16 of them padding */
    char *text = sums[next].text;
    for (int i = 0; i < 6; i++) text[i] = digits[bits >> (42 - 6 * i) & 63];
    memcpy(text + 6, "==", 3);
    sums[next].size = size;
    next = (next + 1) % 8;
    return text;
}

/* MD5 where it is known, else what an object made of parts has. */
const char *etag(uint64_t size) {
    static char text[64];
    for (int i = 0; i < known_count; i++) {
        char *end;
        if (strtoull(known[i], &end, 10) == size && *end == '=') return end + 1;
    }
    snprintf(text, sizeof text, FAKE "-%" PRIu64, (size + PART - 1) / PART);
    return text;
}

/* A key that ends in "-N" has N bytes, any other UINT64_MAX. */
static uint64_t object_size(const char *target) {
    const char *end = strchr(target, '?');
    const char *at = end = end ? end : target + strlen(target);
    while (at > target && at[-1] >= '0' && at[-1] <= '9') at--;
    return at < end && at > target && at[-1] == '-' ? strtoull(at, NULL, 10) : UINT64_MAX;
}

/* --- requests about objects -------------------------------------------------------------- */

/* Remember the line with the checksum of a body, among headers or in a trailer. */
void note_checksum(struct connection *c, const char *from, const char *end) {
    static const char *const names[] = {"crc32c:", "crc32:", "crc64nvme:", "sha1:", "sha256:"};
    for (const char *line = from; line && line < end; line = memchr(line, '\n', end - line)) {
        if (*line == '\n') line++;
        if (end - line < 24 || strncasecmp(line, LITERAL("x-amz-checksum-"))) continue;
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            if (!strncasecmp(line + 15, names[i], strlen(names[i]))) {
                size_t length = strcspn(line, "\r\n");
                if (length < sizeof c->sum - 3) sprintf(c->sum, "%.*s\r\n", (int)length, line);
            }
    }
}

static void document(struct connection *c, const char *xml) {
    size_t length = strlen(xml);
    head(c, 200, length, "Content-Type: application/xml\r\n");
    memcpy(c->output + c->out_length, xml, length);
    c->out_length += length;
}

static void object(struct connection *c, const char *bucket) {
    uint64_t size = object_size(c->target);
    if (size == UINT64_MAX) {
        if (!strcmp(bucket, "tree") || !strcmp(bucket, "empty")) {
            head(c, 404, 0, "%s", "");
            return;
        }
        size = 1024;
    }
    uint64_t start = 0, stop = size;
    const char *part = parameter(c->target, "partNumber");
    char range[128] = "", sum[128] = "";
    if (part && !c->ranged) {
        start = (strtoull(part, NULL, 10) - 1) * PART;
        stop = start + PART < size ? start + PART : size;
        c->ranged = 1;
    } else if (c->ranged) {
        if (c->range_start == UINT64_MAX) start = c->range_stop < size ? size - c->range_stop : 0;
        else start = c->range_start, stop = c->range_stop < size ? c->range_stop : size;
    } else if (c->want_checksum)
        snprintf(sum, sizeof sum,
            "x-amz-checksum-crc32c: %s\r\nx-amz-checksum-type: FULL_OBJECT\r\n", checksum(size));
    if (c->ranged) {
        if (start >= stop) {
            head(c, 416, 0, "Content-Range: bytes */%" PRIu64 "\r\n", size);
            return;
        }
        int n = snprintf(range, sizeof range,
            "Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64 "\r\n", start, stop - 1, size);
        if (part)
            snprintf(range + n, sizeof range - n, "x-amz-mp-parts-count: %" PRIu64 "\r\n",
                (size + PART - 1) / PART);
    }
    head(c, c->ranged ? 206 : 200, stop - start,
        "Last-Modified: Tue, 14 Nov 2023 22:13:20 GMT\r\nETag: \"%s\"\r\n%s%s%s"
        "Accept-Ranges: bytes\r\nContent-Type: application/octet-stream\r\n", etag(size),
        strcmp(bucket, "tree") ? "" : "x-amz-meta-mtime: 1600000000\r\n", range, sum);
    c->file_at = start;
    if (!c->head_only) c->file_left = stop - start;
}

static void stored(struct connection *c) {
    head(c, 200, 0, "ETag: \"%s\"\r\n%s", *c->md5 ? c->md5 : etag(c->decoded), c->sum);
}

static void completed(struct connection *c) {
    char xml[1024], sum[256] = "", name[32], value[96];
    if (sscanf(c->sum, "%*15c%31[^:]: %95[^\r]", name, value) == 2) {
        for (char *at = name; *at; at++) *at = toupper(*at);
        snprintf(sum, sizeof sum,
            "<Checksum%s>%s</Checksum%s><ChecksumType>FULL_OBJECT</ChecksumType>", name, value,
            name);
    }
    snprintf(xml, sizeof xml,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<CompleteMultipartUploadResult" XMLNS ">"
        "<Location>/bench/k</Location><Bucket>bench</Bucket><Key>k</Key>"
        "<ETag>&quot;" FAKE "-%" PRIu64 "&quot;</ETag>%s</CompleteMultipartUploadResult>",
        (object_size(c->target) + PART - 1) / PART, sum);
    document(c, xml);
}

static void deleted(struct connection *c) {
    static const char open[] = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<DeleteResult" XMLNS ">";
    char *to = c->owned = malloc(2 * c->got + sizeof open + 64);
    if (!to) abort();
    c->body[c->got] = 0;
    to = stpcpy(to, open);
    int quiet = strstr(c->body, "<Quiet>true</Quiet>") != NULL;
    for (const char *at = c->body; !quiet && (at = strstr(at, "<Key>"));) {
        const char *end = strstr(at, "</Key>");
        if (!end) break;
        to = stpcpy(to, "<Deleted>");
        to = mempcpy(to, at, end + 6 - at);
        to = stpcpy(to, "</Deleted>");
        at = end;
    }
    to = stpcpy(to, "</DeleteResult>");
    free(c->body);
    c->body = NULL;
    c->memory = c->owned;
    c->memory_left = to - c->owned;
    head(c, 200, c->memory_left, "Content-Type: application/xml\r\n");
}

static void statistics(struct connection *c) {
    struct rusage used;
    char text[160];
    getrusage(RUSAGE_SELF, &used);
    requests--;
    int n = snprintf(text, sizeof text,
        "{\"requests\": %" PRIu64 ", \"received\": %" PRIu64 ", \"cpu\": %.6f}", requests, received,
        used.ru_utime.tv_sec + used.ru_stime.tv_sec
            + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
    head(c, 200, n, "Content-Type: application/json\r\n");
    memcpy(c->output + c->out_length, text, n);
    c->out_length += n;
}

static void about_bucket(struct connection *c, const char *bucket) {
    if (strcmp(c->method, "GET")) head(c, 200, 0, "x-amz-bucket-region: us-east-1\r\n");
    else if (parameter(c->target, "list-type")) list(c, bucket);
    else if (parameter(c->target, "location"))
        document(c, "<LocationConstraint" XMLNS "></LocationConstraint>");
    else if (parameter(c->target, "uploads"))
        document(c, "<ListMultipartUploadsResult" XMLNS "><Bucket>bench</Bucket>"
                    "<IsTruncated>false</IsTruncated></ListMultipartUploadsResult>");
    else
        document(c, "<ListAllMyBucketsResult" XMLNS "><Buckets></Buckets>"
                    "</ListAllMyBucketsResult>");
}

/* The request is there as a whole. */
void answer(struct connection *c) {
    const char *method = c->method, *query = strchr(c->target, '?');
    size_t path = query ? (size_t)(query - c->target) : strlen(c->target);
    const char *slash = memchr(c->target + 1, '/', path - 1);
    int in_bucket = slash && slash + 1 < c->target + path;
    char bucket[64];
    snprintf(bucket, sizeof bucket, "%.*s", (int)strcspn(c->target + 1, "/?"), c->target + 1);
    requests++;
    c->state = SEND;
    c->out_sent = 0;
    if (!strcmp(c->target, "/_stats")) statistics(c);
    else if (!strcmp(method, "DELETE")) head(c, 204, 0, "%s", "");
    else if (!strcmp(method, "POST") && parameter(c->target, "delete")) deleted(c);
    else if (!strcmp(method, "POST") && parameter(c->target, "uploads"))
        document(c, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<InitiateMultipartUploadResult"
                    XMLNS "><Bucket>bench</Bucket><Key>k</Key>"
                    "<UploadId>0123456789abcdef</UploadId></InitiateMultipartUploadResult>");
    else if (!strcmp(method, "POST")) completed(c);
    else if (!in_bucket) about_bucket(c, bucket);
    else if (!strcmp(method, "PUT")) stored(c);
    else if (parameter(c->target, "uploadId"))
        document(c, "<ListPartsResult" XMLNS "><IsTruncated>false</IsTruncated></ListPartsResult>");
    else object(c, bucket);
}
