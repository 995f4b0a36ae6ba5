/* The C core of jitml_runtime: what its parts share.
 *
 * alloc.c     blocks of memory: recycled, 64-byte aligned, counted
 * array.c     Array: construction, deletion, attributes
 * convert.c   Array to and from NumPy and the buffer protocol
 * dlpack.c    Array to and from DLPack
 * remote.c    Array whose elements lie elsewhere until somebody looks at them
 * operators.c number, comparison and subscript slots, filled from above
 * eager.c     functions of arrays at hand, through compiled programs
 * shortcut.c  functions of which the runtime knows the simplest cases
 * indexing.c  x[...] of numbers and slices, as copies
 * layout.c    x.reshape(...) and x.T
 * numbers.c   Python numbers as 0-d arrays, and back
 * calling.c   how calls go on this thread: traced, compiled, 32 or 64 bits wide
 * signature.c what calls are looked up by: structure and types of their arguments
 * match.c     whether a call has a known signature
 * tree.c      results put together
 * records.c   what is known for the signatures of a function's calls
 * anchors.c   what tells in a few instructions that objects are still where they were
 * guards.c    Guard: whether what a program read from Python is still the same
 * callee.c    Callee: a program with the structure of its result
 * dispatch.c  Dispatcher: calls that find their compiled program
 * pool.c      threads that share the chunks of one kernel
 * interrupt.c Ctrl-C while Python is not held
 * plan.c      a plan of Python data becomes tables
 * execute.c   runs of the tables
 * executable.c Executable: tables and what they refer to
 * settings.c  functions of the module about threads and memory
 * debugger.c  objects in memory that gdb is told of
 * failures.c  allocations that fail on request, in builds for tests
 * module.c    the module
 */
#ifndef JITML_CORE_H
#define JITML_CORE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ALIGNMENT ((size_t)64)
#define ALIGN_UP(n) (((size_t)(n) + ALIGNMENT - 1) & ~(ALIGNMENT - 1))
#ifdef JITML_GUARD_BLOCKS /* builds for tests: each block is one of the allocator's */
#define MAX_INLINE_BYTES 0
#else
#define MAX_INLINE_BYTES 256
#endif
#define MAX_DIMENSIONS 64

/* ---- alloc.c ------------------------------------------------------------------------------ */

/* Memory that several owners share. `references` is changed with Python held. */
typedef struct Storage {
    Py_ssize_t references;
    void *data;
    size_t size_bytes;
    void (*release)(struct Storage *); /* NULL: from the allocator, ours to write */
    void *owner;                       /* for `release` */
} Storage;

typedef struct {
    size_t bytes_in_use, peak_bytes, cached_bytes, allocations;
} MemoryStats;

void *block_acquire(size_t size_bytes);               /* NULL: out of memory; no Python needed */
void block_release(void *block, size_t size_bytes);
size_t block_capacity(size_t size_bytes);             /* what a block of so many bytes takes */
size_t block_trim(void);                              /* returns cached blocks to the system */
void block_stats(MemoryStats *stats, bool reset_peak);
void block_set_limit(size_t size_bytes);              /* of the process; 0: the machine's memory */
void block_before_fork(void);
void block_after_fork(void);

Storage *storage_new(size_t size_bytes);              /* sets MemoryError */
Storage *storage_adopt(void *data, size_t size_bytes, void (*release)(Storage *), void *owner);
void storage_drop(Storage *storage);

/* ---- array.c ------------------------------------------------------------------------------ */

typedef struct Array {
    PyObject_HEAD
    PyObject *weak_references;
    struct Array *next_stored, **stored_link; /* in the list of arrays that have storage */
    void *data;       /* NULL once deleted, and while only the remote has the elements */
    Storage *storage; /* NULL: the data is inside this object */
    PyObject *remote; /* what has the elements as well, or alone; or NULL */
    int64_t size;
    uint8_t dtype, dimensions; /* see array_kind */
    bool weak, deleted;
    int32_t pins; /* runs and exports that look at the data: it must stay while they do */
    uint8_t room; /* which list the object goes to when it ends */
    int64_t shape[]; /* then, if inline, the data */
} Array;

typedef struct {
    PyObject *dtype;
    const char *format; /* of the buffer protocol; NULL if it has none */
    uint8_t item_bytes, dlpack_code;
} DtypeRow;

extern PyTypeObject *ArrayType;
extern DtypeRow dtype_rows[32];
extern int dtype_count;
extern Py_ssize_t live_arrays;

#define ARRAY_CHECK(o) (Py_TYPE(o) == ArrayType)

static inline size_t array_bytes(const Array *array)
{
    return (size_t)array->size * dtype_rows[array->dtype].item_bytes;
}

/* Dtype, number of dimensions and flags at once; little-endian. */
static inline uint32_t kind_of(int dtype, int dimensions, bool weak)
{
    return (uint32_t)dtype | (uint32_t)dimensions << 8 | (uint32_t)weak << 16;
}

static inline uint32_t array_kind(const Array *array)
{
    uint32_t kind;
    memcpy(&kind, &array->dtype, sizeof kind);
    return kind;
}

#define KIND_DELETED ((uint32_t)1 << 24)

static inline void array_pin(Array *array) { array->pins++; }
void array_unpin(Array *array);
void *array_data(Array *array); /* NULL with RuntimeError set if deleted; may run Python */
int array_check(Array *array);  /* -1 with RuntimeError set if deleted */
void array_store(Array *array, Storage *storage, void *data);
Array *array_new(int dtype, int dimensions, const int64_t *shape, bool weak);
Array *array_of_size(int dtype, int dimensions, const int64_t *shape, bool weak, int64_t size);
Array *array_wrap(int dtype, int dimensions, const int64_t *shape, bool weak, void *data,
                  Storage *storage); /* takes over the reference to `storage` */
int array_size(int dtype, int dimensions, const int64_t *shape, int64_t *size);
void array_delete(Array *array);
PyObject *list_stored_arrays(void); /* those alive whose data is not inside the object */
int dtype_code(PyObject *dtype); /* -1 with TypeError set */
int shape_from_tuple(PyObject *tuple, int64_t *shape); /* dimensions, or -1 with an error set */
PyObject *shape_to_tuple(int dimensions, const int64_t *shape);
int array_setup(PyObject *module);

PyObject *array_share(Array *array, int dimensions, const int64_t *shape, bool weak);

/* ---- convert.c ---------------------------------------------------------------------------- */

PyObject *array_to_numpy(Array *array); /* a read-only view */
PyObject *array_from_numpy(PyObject *source, bool weak, bool copy);
PyObject *numpy_view(int dtype, int dimensions, const int64_t *shape, void *data, Array *array,
                     Storage *storage, bool writable);
int array_get_buffer(PyObject *self, Py_buffer *view, int flags);
void array_release_buffer(PyObject *self, Py_buffer *view);
PyObject *array_dunder_array(PyObject *self, PyObject *args, PyObject *keywords);
bool is_plain_numpy(PyObject *object); /* an exact ndarray, or a NumPy scalar */
int convert_setup(void);

/* ---- dlpack.c ----------------------------------------------------------------------------- */

PyObject *array_dunder_dlpack(PyObject *self, PyObject *args, PyObject *keywords);
PyObject *array_dunder_dlpack_device(PyObject *self, PyObject *unused);
PyObject *array_from_dlpack(PyObject *module, PyObject *source);

/* ---- remote.c ----------------------------------------------------------------------------- */

void *array_bring(Array *array); /* the elements, fetched from the remote; NULL with an error set */
bool array_is_remote(const Array *array); /* elements are elsewhere, or there as well */
PyObject *remote_array(PyObject *module, PyObject *args);
PyObject *remote_of(PyObject *module, PyObject *object);
PyObject *attach_remote(PyObject *module, PyObject *args);
PyObject *take_remote(PyObject *module, PyObject *object);
PyObject *is_at_hand(PyObject *module, PyObject *object);

/* ---- operators.c -------------------------------------------------------------------------- */

extern PyType_Slot operator_slots[]; /* ends with {0, NULL} */
PyObject *set_operators(PyObject *module, PyObject *table);
PyObject *array_dunder_complex(PyObject *self, PyObject *unused);
PyObject *array_dunder_format(PyObject *self, PyObject *format);
int operators_setup(void);

/* ---- eager.c ------------------------------------------------------------------------------ */

PyObject *forget_operations(PyObject *module, PyObject *unused);
int eager_setup(PyObject *module);

/* ---- pool.c ------------------------------------------------------------------------------- */

typedef void (*PoolTask)(void *context, int64_t index, int worker);
typedef void (*PoolPoll)(void *context); /* the caller's, while it waits for the others */
typedef enum { POOL_DONE, POOL_BUSY, POOL_LOST } PoolResult;

PoolResult pool_run(PoolTask task, PoolPoll poll, void *context, int64_t count, int threads);
int pool_threads(void);
void pool_set_threads(int count);
int pool_scope_threads(int count); /* for runs of this Python thread; 0 ends it; the one before */
void pool_after_fork(void);

/* ---- interrupt.c -------------------------------------------------------------------------- */

/* A stretch of native work without Python. If watched, in the main thread, Ctrl-C sets *stop. */
typedef struct {
    PyThreadState *thread;
    volatile int32_t *stop; /* non-zero: the work is to be given up */
    volatile int32_t own_stop;
    int32_t outer_stop;
    int64_t next_poll_ns;
} Native;

void native_begin(Native *native, bool watch);
bool native_end(Native *native);  /* whether it was stopped */
void native_poll(Native *native); /* let signals be handled; if that raises, stops the work */
int interrupt_setup(void);
void interrupt_after_fork(void);

/* ---- plan.c ------------------------------------------------------------------------------- */

typedef struct {
    int64_t site, index, value;
    const volatile int32_t *stop;
    void *scratch;
} Fault;

typedef int32_t (*Kernel)(void **buffers, const int64_t *sizes, int64_t begin, int64_t end,
                          Fault *fault);

typedef struct {
    int dtype, dimensions;
    bool weak;
    int64_t *shape;
    int64_t size; /* elements */
} Spec;

typedef enum { FROM_INPUT, FROM_OUTPUT, FROM_ARENA, FROM_CONSTANT, FROM_LOOP } Place;
typedef struct {
    Place place;
    size_t index, size_bytes; /* for FROM_ARENA and FROM_CONSTANT index is an offset in bytes, for
                                 FROM_LOOP it is the slot that this one moves over */
} Slot;

typedef enum { STEP_SERIAL, STEP_PARALLEL, STEP_COPY, STEP_HOST, STEP_BRANCH, STEP_LOOP } StepKind;
typedef struct {
    int current, next;
} Carry;
typedef struct {
    StepKind kind;
    int buffer_count; /* STEP_HOST: inputs, then outputs */
    int *buffers;
    Slot *operands; /* the slots of the buffers */
    int64_t *sizes;
    int64_t extent, grain;
    Kernel kernel;
    PyObject *function; /* STEP_HOST */
    int input_count;
    Spec *specs;
    bool is_quick;   /* its chunks need not be followed by a poll each */
    int64_t *ends;   /* STEP_BRANCH, STEP_LOOP: where the blocks that follow it end */
    int end_count;
    int64_t length;  /* STEP_LOOP: number of steps, or -1: while the byte in slot `predicate` is set */
    int predicate;
    bool reverse;
    int64_t *moving; /* slots */
    int moving_count;
    Carry *carries;
    int carry_count;
} Step;

/* What a step has taken so far. Several Python threads may add to it. */
typedef struct {
    _Atomic int64_t calls, ns;
} StepTime;

typedef struct {
    Spec *inputs, *outputs;
    Slot *slots;
    Step *steps;
    int64_t *aliases;    /* per output: the donated argument, or -1 */
    int64_t *forward;    /* per output: the argument passed on, or -1 */
    int64_t *duplicates; /* per output: the earlier output, or -1 */
    Storage *constants; /* NULL if there are none */
    size_t arena_bytes, scratch_bytes;
    int input_count, output_count, slot_count, step_count, most_buffers;
    bool has_parallel, has_host, has_aliases, is_long;
    bool is_simple; /* short, on one thread, of kernels alone, with little memory */
    StepTime *times; /* per step, where runs are measured; else NULL */
} Tables;

enum { SIMPLE_BYTES = 1024, SIMPLE_BUFFERS = 256 }; /* what a simple program may need */

int tables_build(Tables *tables, PyObject *plan, PyObject *addresses, PyObject *functions);
void tables_clear(Tables *tables);

/* ---- execute.c ---------------------------------------------------------------------------- */

extern PyObject *kernel_fault; /* the exception */

/* Runs on Arrays, the first `known` of which are at hand and of the types that the program takes.
 * `results` has room for the outputs, and gets new references. 0, or -1. */
int run_tables(const Tables *tables, PyObject *const *given, Py_ssize_t count, Py_ssize_t known,
               PyObject **results);
int check_arguments(const Tables *tables, PyObject *const *given, Py_ssize_t count,
                    Py_ssize_t known);
bool array_fits(const Spec *spec, const Array *array);
int execute_setup(void);

/* ---- executable.c ------------------------------------------------------------------------- */

/* As `run_tables`. `explain` tells what a failed check means to runs that end later; or it is
 * NULL. */
int execute(PyObject *executable, PyObject *const *given, Py_ssize_t count, Py_ssize_t known,
            PyObject **results, PyObject *explain);
/* Whether its first arguments may be Arrays of these types. */
bool executable_takes(PyObject *executable, PyObject *const *given, Py_ssize_t count);
bool is_executable(PyObject *object);
int executable_outputs(PyObject *executable);
bool executable_forwards(PyObject *executable, int output); /* an argument is passed on */
int executable_setup(PyObject *module);

/* ---- record.c ----------------------------------------------------------------------------- */

extern bool is_recording; /* whether somebody wants to know when what ran */

int64_t now_ns(void); /* of a clock that only goes forward */
void record_span(PyObject *about, int64_t begin_ns, int64_t end_ns, int64_t size_bytes);
int record_setup(PyObject *module);

/* ---- module.c: for the setup of the others; an error that is set stays, and the result is NULL */

PyObject *imported(const char *module_name, const char *name);
PyObject *interned(const char *text);
PyObject *bind_as_method(PyObject *self, PyObject *instance, PyObject *owner); /* for tp_descr_get */
int clear_error(void); /* that a longer way will tell better; -1 if it is to stay */

/* ---- settings.c --------------------------------------------------------------------------- */

int checked_threads(PyObject *count); /* -1 with an error set if it is no number of threads */
int settings_setup(PyObject *module);

/* ---- numbers.c ---------------------------------------------------------------------------- */

int number_dtype(PyObject *number); /* of a Python number on this thread; -1 for anything else */
bool dtype_is_bool(int dtype);
bool dtype_takes_number(int dtype, PyObject *number); /* without changing its kind */
Array *array_of_number(PyObject *number, int dtype, bool weak); /* NULL if it does not fit */
PyObject *number_of_array(Array *array); /* NULL without an error: of a kind it does not know */
void numbers_setup(void);

/* ---- indexing.c --------------------------------------------------------------------------- */

typedef struct {
    int64_t count, stride; /* in bytes */
} Axis;

PyObject *basic_index(PyObject *module, PyObject *const *given, Py_ssize_t count);
PyObject *basic_update(PyObject *module, PyObject *args);
/* Copies a box of strided axes, which may be joined, to dense elements of the shape. */
void copy_box_dense(char *to, const int64_t *shape, const char *from, Axis *axes, int dimensions,
                    int item_bytes);

/* ---- layout.c ----------------------------------------------------------------------------- */

PyObject *basic_reshape(PyObject *module, PyObject *const *given, Py_ssize_t count);
PyObject *basic_transpose(PyObject *module, PyObject *const *given, Py_ssize_t count);

/* ---- shortcut.c --------------------------------------------------------------------------- */

int shortcut_setup(PyObject *module);

/* ---- calling.c ---------------------------------------------------------------------------- */

typedef enum { WIDTH_OF_PROCESS, WIDTH_NARROW, WIDTH_WIDE } Width;

typedef struct {
    PyObject *recorder; /* what records operations, or NULL */
    bool is_off;        /* compiled functions do not run */
    bool is_checked;    /* results are looked through above: no call takes the short way */
    Width width;        /* of Python numbers */
} Calling;

#ifdef __GLIBC__ /* a few bytes that are reached without a call */
#define THREAD_LOCAL _Thread_local __attribute__((tls_model("initial-exec")))
#else
#define THREAD_LOCAL _Thread_local
#endif

extern THREAD_LOCAL Calling calling;
extern bool wide_everywhere, checked_everywhere;

/* Whether what a call gives is to be seen above, by whoever knows what it should be. */
static inline bool results_are_checked(void)
{
    return calling.is_checked || checked_everywhere;
}

static inline bool numbers_are_wide(void)
{
    return calling.width == WIDTH_OF_PROCESS ? wide_everywhere : calling.width == WIDTH_WIDE;
}

int calling_setup(PyObject *module);

/* ---- signature.c -------------------------------------------------------------------------- */

enum { SIGNATURE_WORDS = 128, SIGNATURE_LEAVES = 32, SIGNATURE_OBJECTS = 32 };

typedef struct {
    uint64_t *words;     /* equal if their bits are */
    PyObject **objects;  /* owned: compared by type and value */
    PyObject **leaves;   /* owned: Arrays, in the order of the walk */
    int32_t *order;      /* by argument: its leaf; if `ordered` */
    int word_count, object_count, leaf_count, word_room, object_room, leaf_room, depth;
    bool ordered;
    uint64_t local_words[SIGNATURE_WORDS];
    PyObject *local_objects[SIGNATURE_OBJECTS], *local_leaves[SIGNATURE_LEAVES];
} Signature;

/* What a word is about, in its lowest bits. The shape of an Array comes after its word. */
enum { WORD_CALL, WORD_ARRAY, WORD_NUMPY, WORD_NUMBER, WORD_NONE, WORD_TUPLE, WORD_LIST, WORD_DICT,
       WORD_NODE, WORD_NAMED, WORD_STATIC, WORD_END };

static inline uint64_t call_word(Py_ssize_t count)
{
    return WORD_CALL | (uint64_t)numbers_are_wide() << 8 | (uint64_t)count << 16;
}

static inline uint64_t array_word(const Array *array)
{
    return WORD_ARRAY | (uint64_t)(array_kind(array) & ~KIND_DELETED) << 8;
}

static inline int word_dimensions(uint64_t word) { return (int)(word >> 16 & 0xff); }

/* Which arguments are static, by position (negative: from the end) and by name. */
typedef struct {
    Py_ssize_t *numbers;
    int number_count;
    PyObject *names; /* a tuple, or NULL */
} Statics;

void signature_begin(Signature *s, bool ordered);
void signature_end(Signature *s);
int signature_of_call(Signature *s, const Statics *statics, PyObject *const *arguments,
                      Py_ssize_t count, PyObject *names);
int signature_hash(const Signature *s, uint64_t *hash);
int is_same_value(PyObject *a, PyObject *b);
PyObject *set_nodes(PyObject *module, PyObject *table);
int signature_setup(void);

/* ---- match.c ------------------------------------------------------------------------------ */

bool is_matchable(const uint64_t *words, int count);
bool match_call(const uint64_t *words, PyObject *const *objects, const int32_t *place,
                PyObject *const *arguments, Py_ssize_t count, PyObject *names, PyObject **leaves,
                bool *are_at_hand);

/* ---- tree.c ------------------------------------------------------------------------------- */

typedef enum { TREE_LEAF, TREE_NONE, TREE_TUPLE, TREE_LIST, TREE_DICT, TREE_OTHER } TreeKind;

typedef struct {
    TreeKind kind;
    int count;
    PyObject *data; /* keys of a dict, static data of another node */
    PyObject *make; /* TREE_OTHER: make(data, list of children); TREE_DICT of many keys: a copy has
                       them all; else NULL */
} TreeNode;

typedef struct {
    TreeNode *nodes; /* parents before their children */
    int count, leaf_count;
} Tree;

int tree_read(Tree *tree, PyObject *spec);
void tree_clear(Tree *tree);
int tree_traverse(const Tree *tree, visitproc visit, void *arg);
PyObject *tree_build(const Tree *tree, PyObject **leaves); /* takes the leaves, also if it fails */
int tree_setup(void);

/* ---- dispatch.c --------------------------------------------------------------------------- */

int dispatch_setup(PyObject *module);

/* ---- debugger.c --------------------------------------------------------------------------- */

int debugger_setup(PyObject *module);

/* ---- failures.c --------------------------------------------------------------------------- */

#ifdef JITML_FAIL_ALLOCATIONS
#include "failures.h"
#else
#define allocation_fails() false /* whether the allocation that is about to be made is to fail */
#endif
int failures_setup(PyObject *module);

#endif
