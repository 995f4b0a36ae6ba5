/* When what ran: spans of time that runs of programs and conversions have taken, while somebody
 * wants to know.
 *
 * In: spans. Out: a list of them. Written and read with Python held. Must not know what they are of.
 */
#include "core.h"

#include <pthread.h>
#include <time.h>

#define MOST_SPANS ((size_t)1 << 21)

typedef struct {
    PyObject *about; /* owned */
    int64_t begin_ns, end_ns, size_bytes;
    unsigned long thread;
} Span;

bool is_recording;
static Span *spans;
static size_t span_count, span_room, lost;

int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Nothing fails here: what finds no room is counted. */
void record_span(PyObject *about, int64_t begin_ns, int64_t end_ns, int64_t size_bytes)
{
    if (span_count == span_room && span_room < MOST_SPANS) {
        size_t room = span_room ? 2 * span_room : 1024;
        Span *more = PyMem_RawRealloc(spans, room * sizeof *spans);
        if (more) {
            spans = more;
            span_room = room;
        }
    }
    if (span_count == span_room) {
        lost++;
        return;
    }
    spans[span_count++] = (Span){Py_NewRef(about), begin_ns, end_ns, size_bytes,
                                 PyThread_get_thread_ident()};
}

static PyObject *record_runs(PyObject *module, PyObject *wanted)
{
    (void)module;
    int is_wanted = PyObject_IsTrue(wanted);
    if (is_wanted < 0)
        return NULL;
    is_recording = is_wanted;
    Py_RETURN_NONE;
}

static PyObject *recorded_runs(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    Span *taken = spans;
    size_t count = span_count, missing = lost;
    spans = NULL;
    span_count = span_room = lost = 0;
    PyObject *rows = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; i < count; i++) {
        const Span *span = &taken[i];
        PyObject *row = rows ? Py_BuildValue("OLLLk", span->about, (long long)span->begin_ns,
                                             (long long)span->end_ns,
                                             (long long)span->size_bytes, span->thread) : NULL;
        Py_DECREF(span->about);
        if (row)
            PyList_SET_ITEM(rows, (Py_ssize_t)i, row);
        else
            Py_CLEAR(rows);
    }
    PyMem_RawFree(taken);
    return rows ? Py_BuildValue("Nn", rows, (Py_ssize_t)missing) : NULL;
}

static PyMethodDef functions[] = {
    {"record_runs", record_runs, METH_O,
     "Remember from now on when programs run and arrays are converted, or do so no longer."},
    {"recorded_runs", recorded_runs, METH_NOARGS,
     "What was remembered since this was last asked: a list of (what, begin_ns, end_ns, bytes, "
     "thread), and how many more there was no room for."},
    {NULL, NULL, 0, NULL},
};

int record_setup(PyObject *module) { return PyModule_AddFunctions(module, functions); }
