/* Listings of the S3 service for measuring: what each bucket holds, in pages with real tokens. */

#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "_s3_server.h"

#define PAGE 1000
#define MANY 100000 /* keys of a bucket of any other name; asking for a prefix changes nothing */
#define TOPS 10     /* of bucket "tree": folders, folders in each, files in each of those */
#define FOLDERS 20
#define FILES 100
#define TREE (TOPS * FOLDERS * FILES)
#define HEADING \
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult" \
    " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>%s</Name><Prefix>%s</Prefix>%s" \
    "<KeyCount>%ld</KeyCount><MaxKeys>1000</MaxKeys>%s<IsTruncated>%s</IsTruncated>"
#define FOOTER "</ListBucketResult>"

struct keys {
    char *entries; /* all of one length */
    size_t entry;
    long count;
};

static struct keys many, tree;

static void tree_key(char *to, long number) {
    sprintf(to, "t%ld/d%02ld/f%02ld-8192", number / (FOLDERS * FILES), number / FILES % FOLDERS,
            number % FILES);
}

static void add(struct keys *keys, const char *key, const char *tag, long size, time_t when) {
    char one[512], date[32];
    struct tm tm;
    gmtime_r(&when, &tm);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S.000Z", &tm);
    size_t length = snprintf(one, sizeof one,
        "<Contents><Key>%s</Key><LastModified>%s</LastModified><ETag>&quot;%s&quot;</ETag>"
        "<Size>%ld</Size><StorageClass>STANDARD</StorageClass></Contents>", key, date, tag, size);
    if (!keys->entries) {
        keys->entry = length;
        keys->entries = malloc((size_t)(keys == &many ? MANY : TREE) * length);
    }
    if (!keys->entries || keys->entry != length) abort();
    memcpy(keys->entries + keys->count++ * length, one, length);
}

void prepare_listings(void) {
    char key[64], tag[40];
    for (long i = 0; i < MANY; i++) {
        sprintf(key, "bench/object-%08ld-1024", i);
        sprintf(tag, "%032lx", i);
        add(&many, key, tag, 1024, 1700000000 + i * 7);
    }
    for (long i = 0; i < TREE; i++) {
        tree_key(key, i);
        add(&tree, key, etag(8192), 8192, 1700000000);
    }
}

/* The value of a parameter, with its %XX undone. */
static void decoded(char *to, size_t room, const char *target, const char *name) {
    const char *from = parameter(target, name);
    unsigned byte;
    while (from && *from && *from != '&' && --room) {
        if (*from == '%' && sscanf(from + 1, "%2x", &byte) == 1) *to++ = (char)byte, from += 3;
        else *to++ = *from++;
    }
    *to = 0;
}

/* First key of the tree that does not come before `text`; `past` also skips what begins with it. */
static long place(const char *text, int past) {
    char key[64];
    size_t length = strlen(text);
    long low = 0, high = TREE;
    while (low < high) {
        long middle = (low + high) / 2;
        tree_key(key, middle);
        int order = past ? strncmp(key, text, length) : strcmp(key, text);
        if (order < 0 || (past && !order)) low = middle + 1;
        else high = middle;
    }
    return low;
}

static void page(struct connection *c, const char *bucket, const char *prefix, long count,
                 long next) {
    char more[96] = "", before[4096];
    if (next)
        snprintf(more, sizeof more,
            "<NextContinuationToken>%08ldAbCdEf0123456789</NextContinuationToken>", next);
    int n = snprintf(before, sizeof before, HEADING, bucket, prefix, more, count,
        parameter(c->target, "encoding-type") ? "<EncodingType>url</EncodingType>" : "",
        next ? "true" : "false");
    c->footer = FOOTER;
    c->footer_left = strlen(FOOTER);
    head(c, 200, n + c->memory_left + c->footer_left, "Content-Type: application/xml\r\n");
    if (c->out_length + n > OUTPUT) abort();
    memcpy(c->output + c->out_length, before, n);
    c->out_length += n;
}

/* Keys and common prefixes of the tree. */
static void folders(struct connection *c, long at, long stop, const char *prefix, long most) {
    char key[64];
    long count = 0;
    size_t length = strlen(prefix);
    char *to = c->owned = malloc(PAGE * (tree.entry + 64));
    if (!to) abort();
    for (; at < stop && count < most; count++) {
        tree_key(key, at);
        char *slash = strchr(key + length, '/');
        if (slash) {
            slash[1] = 0;
            to += sprintf(to, "<CommonPrefixes><Prefix>%s</Prefix></CommonPrefixes>", key);
            at = place(key, 1);
        } else {
            to = mempcpy(to, tree.entries + at * tree.entry, tree.entry);
            at++;
        }
    }
    c->memory = c->owned;
    c->memory_left = to - c->owned;
    page(c, "tree", prefix, count, at < stop ? at : 0);
}

void list(struct connection *c, const char *bucket) {
    const char *token = parameter(c->target, "continuation-token");
    const char *most = parameter(c->target, "max-keys");
    long count = most ? strtol(most, NULL, 10) : PAGE, start = 0, stop = MANY;
    struct keys *keys = &many;
    char prefix[128] = "", after[128] = "", delimiter[8] = "";
    if (count < 0 || count > PAGE) count = PAGE;
    if (!strcmp(bucket, "empty")) stop = 0;
    else if (!strcmp(bucket, "tree")) {
        keys = &tree;
        decoded(prefix, sizeof prefix, c->target, "prefix");
        decoded(after, sizeof after, c->target, "start-after");
        decoded(delimiter, sizeof delimiter, c->target, "delimiter");
        start = place(prefix, 0);
        stop = place(prefix, 1);
        if (!*prefix) stop = TREE;
        if (*after) {
            char first[64];
            long found = place(after, 0);
            tree_key(first, found < TREE ? found : 0);
            if (found < TREE && !strcmp(first, after)) found++;
            if (found > start) start = found;
        }
    }
    if (token) start = strtol(token, NULL, 10);
    if (start < 0 || start > stop) start = stop;
    if (keys == &tree && *delimiter) {
        folders(c, start, stop, prefix, count);
        return;
    }
    if (count > stop - start) count = stop - start;
    c->memory = keys->entries + start * keys->entry;
    c->memory_left = count * keys->entry;
    page(c, bucket, prefix, count, start + count < stop ? start + count : 0);
}
