/* A jet tagger as a C library: 16 numbers a jet in, the probabilities of three classes out.
 *
 * The library needs neither files nor a heap: a session and all that it computes in lie in memory of the caller's.
 * A session is used by one thread at a time; any number of sessions may be used side by side. Nothing here throws or
 * unwinds: what can go wrong is a status, and an error in the library itself ends the program (abort). */
#ifndef TAGGER_H
#define TAGGER_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    TAGGER_INPUTS = 16,    /* numbers a jet */
    TAGGER_CLASSES = 3,    /* probabilities a jet */
    TAGGER_MOST_JETS = 64  /* in one call */
};

typedef enum tagger_status {
    TAGGER_OK = 0,
    TAGGER_NULL = 1,          /* a pointer is null */
    TAGGER_LITTLE_MEMORY = 2, /* fewer bytes than tagger_bytes() */
    TAGGER_MANY_JETS = 3      /* more than TAGGER_MOST_JETS */
} tagger_status;

typedef struct tagger tagger;

/* The bytes of memory that a session takes, at any alignment. */
size_t tagger_bytes(void);

/* Makes a session in `memory`, which stays the caller's and must outlive the session; `*made` then points into it. */
tagger_status tagger_create(void *memory, size_t bytes, tagger **made);

/* Scores `count` jets: reads TAGGER_INPUTS floats a jet, writes TAGGER_CLASSES floats a jet. Allocates nothing.
 * Where it returns another status than TAGGER_OK, nothing was written, and the session can go on. */
tagger_status tagger_infer(tagger *session, const float *jets, size_t count, float *scores);

/* Ends a session; its memory can be used again. A null pointer is ignored. */
void tagger_destroy(tagger *session);

#ifdef __cplusplus
}
#endif

#endif
