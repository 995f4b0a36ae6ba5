/* What the parts of the dispatcher share: records.c, guards.c, callee.c, dispatch.c. */
#ifndef JITML_DISPATCH_H
#define JITML_DISPATCH_H

#include "core.h"

#define FEW 256 /* arguments and results that fit the stack */

/* What is known for one signature. Alive while the table or a call refers to it. */
typedef struct {
    Py_ssize_t references;
    uint64_t hash;
    int word_count, object_count, leaf_count;
    uint64_t *words;
    PyObject **objects;
    int32_t *order;     /* the leaf of the walk that each argument is; NULL: as they come */
    bool *donated;      /* by argument; NULL if none is */
    int32_t *place;     /* the argument that each leaf of the walk is */
    bool is_matchable;  /* see match.c; and nothing is donated */
    PyObject *callees; /* a list that its owner may change */
    uint64_t fitting;  /* the callee that is known to take such leaves */
} Record;

/* Records by signature; empty if all is zero. */
typedef struct {
    Record **slots; /* open addressing; the size is a power of two */
    Record *latest; /* referenced */
    size_t slot_count, record_count;
} RecordTable;

void record_drop(Record *record);
void records_forget(RecordTable *self);
/* New references, or NULL, perhaps with an error; to find is to begin with the latest. */
Record *records_search(RecordTable *self, const Signature *s, uint64_t hash);
Record *records_find(RecordTable *self, const Signature *s);
/* A record that is not there yet; takes over the flags, and the order of the signature. */
int records_add(RecordTable *self, Signature *s, uint64_t hash, PyObject *callees, bool *donated);

/* ---- anchors.c ---- */

typedef struct {
    const void *place;
    bool is_short; /* it has 4 bytes, not 8 */
    uint64_t word; /* what must be there */
} Anchor;

typedef struct {
    Anchor *items;
    int count, room;
} Anchors;

extern PyObject *builtin_getattr, *operator_getitem;

bool is_of_cell(PyObject *get, PyObject *container, PyObject *key);
bool anchors_hold(const Anchors *anchors);
/* Adds what makes sure that a check which holds now still does; false if it must be looked at each
 * time. `is_new`: `before` did not have all of it. May run Python code. */
bool anchors_add(Anchors *anchors, PyObject *check, const Anchors *before, bool *is_new);
void anchors_clear(Anchors *anchors);
int anchors_setup(void);

/* ---- guards.c ---- */

bool is_guard(PyObject *object);
/* The hidden inputs, a tuple, if what is watched has not changed; NULL, perhaps with an error that is
 * to stay, where that must be decided by calling the guard. `is_quiet`: no Python code has run. */
PyObject *guard_now(PyObject *object, bool *is_quiet);
int guard_setup(PyObject *module);

/* ---- callee.c ---- */

typedef struct {
    PyObject_HEAD
    PyObject *executable;
    PyObject *constants; /* tuple of Arrays: inputs after the arguments */
    PyObject *fetch;     /* gives them anew, or None if the program does not hold; or NULL */
    PyObject *explain;   /* makes the exception of a KernelFault */
    uint64_t number;     /* tells it from all others; not 0 */
    Tree tree;
} Callee;

bool is_callee(PyObject *object);
/* The hidden inputs, a tuple, where that is known without Python code of ours; NULL, perhaps with an
 * error, where not. `is_quiet`: no Python code has run at all. */
PyObject *callee_hidden_now(const Callee *callee, bool *is_quiet);
/* The result for these leaves, after which is room for as many inputs and results as there are. The
 * first `known` are at hand and of the types that the program takes. */
PyObject *callee_run(Callee *callee, PyObject **leaves, int leaf_count, int known,
                     PyObject *hidden);
/* The result of the first of a record's callees that holds; NULL without an error if none does. */
PyObject *run_first(const Record *record, const Signature *s);
int callee_setup(PyObject *module);

#endif
