/* Dispatcher: a callable whose calls find their compiled program by the types of their arguments.
 *
 * In: programs (Callees), installed by whoever traces and compiles; a call that finds none goes to the
 * method `miss`. Out: results of programs. A hit touches no Python code unless a program depends
 * on Python values, or an argument or result has a registered container.
 * Must not know how a function is traced, nor what a program computes.
 */
#include "core.h"

#include <structmember.h>

#define FEW 256          /* arguments and results that fit the stack */
#define MOST_RECORDS 4096 /* static arguments may differ at each call */

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
} Record;

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    Statics statics;
    Record **slots; /* open addressing; the size is a power of two */
    Record *latest; /* referenced */
    size_t slot_count, record_count;
    int threads; /* that its programs may use; 0: as many as those of others */
} Dispatcher;

typedef struct {
    PyObject_HEAD
    PyObject *executable;
    PyObject *constants; /* tuple of Arrays: inputs after the arguments */
    PyObject *fetch;     /* gives them anew, or None if the program does not hold; or NULL */
    PyObject *explain;   /* makes the exception of a KernelFault */
    Tree tree;
    bool is_direct;      /* it depends on the arguments alone */
} Callee;

static PyTypeObject *DispatcherType, *CalleeType;
static PyObject *name_miss;

/* ---- records ---- */

static void record_drop(Record *record)
{
    if (!record || --record->references)
        return;
    for (int i = 0; i < record->object_count; i++)
        Py_DECREF(record->objects[i]);
    Py_XDECREF(record->callees);
    PyMem_Free(record->words);
    PyMem_Free(record->objects);
    PyMem_Free(record->order);
    PyMem_Free(record->place);
    PyMem_Free(record->donated);
    PyMem_Free(record);
}

/* A copy with room for one more. */
static void *copy_of(const void *table, int count, size_t size)
{
    void *copy = PyMem_Malloc((size_t)(count + 1) * size);
    if (copy)
        memcpy(copy, table, (size_t)count * size);
    else
        PyErr_NoMemory();
    return copy;
}

/* Where the leaves do not count in the order of the walk, note how they do. */
static int take_order(Record *record, Signature *s)
{
    int i = 0;
    while (i < s->leaf_count && s->order[i] == i)
        i++;
    if (i == s->leaf_count)
        return 0;
    record->place = PyMem_Malloc((size_t)s->leaf_count * sizeof *record->place);
    if (!record->place) {
        PyErr_NoMemory();
        return -1;
    }
    record->order = s->order;
    s->order = NULL;
    for (i = 0; i < s->leaf_count; i++)
        record->place[record->order[i]] = i;
    return 0;
}

/* A record of the signature, which gives its order away. */
static Record *record_new(Signature *s, uint64_t hash, PyObject *callees)
{
    Record *record = PyMem_Calloc(1, sizeof *record);
    if (!record)
        return (Record *)PyErr_NoMemory();
    record->references = 1;
    record->hash = hash;
    record->word_count = s->word_count;
    record->leaf_count = s->leaf_count;
    record->words = copy_of(s->words, s->word_count, sizeof *s->words);
    record->objects = record->words ? copy_of(s->objects, s->object_count, sizeof *s->objects)
                                    : NULL;
    if (!record->objects) {
        record_drop(record);
        return NULL;
    }
    record->object_count = s->object_count;
    for (int i = 0; i < s->object_count; i++)
        Py_INCREF(record->objects[i]);
    record->words[s->word_count] = WORD_END;
    record->callees = Py_NewRef(callees);
    if (take_order(record, s) < 0) {
        record_drop(record);
        return NULL;
    }
    return record;
}

static bool has_same_words(const Record *record, const Signature *s)
{
    return record->word_count == s->word_count && record->object_count == s->object_count
        && memcmp(record->words, s->words, (size_t)s->word_count * sizeof *s->words) == 0;
}

static bool is_identical(const Record *record, const Signature *s)
{
    if (!has_same_words(record, s))
        return false;
    for (int i = 0; i < s->object_count; i++)
        if (record->objects[i] != s->objects[i])
            return false;
    return true;
}

static int is_equal(const Record *record, const Signature *s)
{
    int same = has_same_words(record, s);
    for (int i = 0; same == 1 && i < s->object_count; i++)
        same = is_same_value(record->objects[i], s->objects[i]);
    return same;
}

/* ---- the table ---- */

static void forget_all(Dispatcher *self)
{
    Record **slots = self->slots, *latest = self->latest;
    size_t count = self->slot_count;
    self->slots = NULL;
    self->latest = NULL;
    self->slot_count = self->record_count = 0;
    record_drop(latest);
    for (size_t i = 0; i < count; i++)
        record_drop(slots[i]);
    PyMem_Free(slots);
}

static void place(Record **slots, size_t count, Record *record)
{
    size_t at = record->hash & (count - 1);
    while (slots[at])
        at = (at + 1) & (count - 1);
    slots[at] = record;
}

static int make_room(Dispatcher *self)
{
    if (self->record_count >= MOST_RECORDS)
        forget_all(self);
    if (self->record_count * 2 < self->slot_count)
        return 0;
    size_t count = self->slot_count ? self->slot_count * 2 : 8;
    Record **slots = PyMem_Calloc(count, sizeof *slots);
    if (!slots) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < self->slot_count; i++)
        if (self->slots[i])
            place(slots, count, self->slots[i]);
    PyMem_Free(self->slots);
    self->slots = slots;
    self->slot_count = count;
    return 0;
}

/* Comparison may run code that changes the table: then the search is given up. */
static Record *search(Dispatcher *self, const Signature *s, uint64_t hash)
{
    Record **slots = self->slots;
    size_t count = self->slot_count;
    for (size_t at = hash; count && slots[at & (count - 1)]; at++) {
        Record *record = slots[at & (count - 1)];
        if (record->hash != hash)
            continue;
        record->references++;
        int same = is_equal(record, s);
        if (same == 1)
            return record;
        record_drop(record);
        if (same < 0 || self->slots != slots)
            return NULL;
    }
    return NULL;
}

/* A new reference, or NULL, perhaps with an error. */
static Record *find(Dispatcher *self, const Signature *s)
{
    Record *latest = self->latest;
    if (latest && is_identical(latest, s)) {
        latest->references++;
        return latest;
    }
    uint64_t hash;
    if (!self->slot_count || signature_hash(s, &hash) < 0)
        return NULL;
    Record *record = search(self, s, hash);
    if (record) {
        record->references++;
        latest = self->latest;
        self->latest = record;
        record_drop(latest);
    }
    return record;
}

/* ---- programs ---- */

static int callee_clear(Callee *self)
{
    Py_CLEAR(self->executable);
    Py_CLEAR(self->constants);
    Py_CLEAR(self->fetch);
    Py_CLEAR(self->explain);
    tree_clear(&self->tree);
    return 0;
}

static int callee_traverse(Callee *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->executable);
    Py_VISIT(self->constants);
    Py_VISIT(self->fetch);
    Py_VISIT(self->explain);
    return tree_traverse(&self->tree, visit, arg);
}

static void callee_dealloc(Callee *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    callee_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static int check_callee(const Callee *self)
{
    if (!is_executable(self->executable)) {
        PyErr_SetString(PyExc_TypeError, "a Callee needs an Executable");
        return -1;
    }
    if (self->tree.leaf_count != executable_outputs(self->executable)) {
        PyErr_Format(PyExc_ValueError, "a tree of %d leaves for %d results",
                     self->tree.leaf_count, executable_outputs(self->executable));
        return -1;
    }
    return 0;
}

static PyObject *callee_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"executable", "structure", "constants", "fetch", "explain", NULL};
    PyObject *executable, *structure, *constants, *fetch = Py_None, *explain = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OOO|OO:Callee", names, &executable,
                                     &structure, &constants, &fetch, &explain))
        return NULL;
    Callee *self = (Callee *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->executable = Py_NewRef(executable);
    self->fetch = fetch == Py_None ? NULL : Py_NewRef(fetch);
    self->explain = explain == Py_None ? NULL : Py_NewRef(explain);
    self->constants = PySequence_Tuple(constants);
    if (!self->constants || tree_read(&self->tree, structure) < 0 || check_callee(self) < 0)
        Py_CLEAR(self);
    else
        self->is_direct = !self->fetch && PyTuple_GET_SIZE(self->constants) == 0;
    return (PyObject *)self;
}

/* ---- a run ---- */

/* A new tuple or list of the hidden inputs; None if the program does not hold now. */
static PyObject *hidden_inputs(Callee *callee)
{
    if (!callee->fetch)
        return Py_NewRef(callee->constants);
    PyObject *found = PyObject_CallNoArgs(callee->fetch);
    if (found && found != Py_None && !PyList_CheckExact(found) && !PyTuple_CheckExact(found)) {
        PyErr_SetString(PyExc_TypeError, "fetch of a Callee must give a list, a tuple or None");
        Py_CLEAR(found);
    }
    return found;
}

/* The KernelFault that is set becomes the exception that tells what it means. */
static void explain_failure(PyObject *explain)
{
    if (!explain || !PyErr_ExceptionMatches(kernel_fault))
        return;
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    PyObject *told = value ? PyObject_CallOneArg(explain, value) : NULL;
    if (told)
        PyErr_SetObject((PyObject *)Py_TYPE(told), told);
    Py_XDECREF(told);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(trace);
}

/* Donated arrays are deleted; a result that is one of them gets a header of its own before. */
static int give_away(const Callee *callee, const Record *record, PyObject *const *arguments,
                     PyObject **results)
{
    for (int i = 0; i < callee->tree.leaf_count; i++) {
        if (!executable_forwards(callee->executable, i))
            continue;
        for (int k = 0; k < record->leaf_count; k++) {
            if (!record->donated[k] || arguments[k] != results[i])
                continue;
            Array *array = (Array *)results[i];
            PyObject *own = array_share(array, array->dimensions, array->shape, array->weak);
            if (!own)
                return -1;
            Py_SETREF(results[i], own);
            break;
        }
    }
    for (int k = 0; k < record->leaf_count; k++)
        if (record->donated[k])
            array_delete((Array *)arguments[k]);
    return 0;
}

static PyObject *run_on(Callee *callee, const Record *record, PyObject *const *arguments,
                        Py_ssize_t count, PyObject **results)
{
    if (execute(callee->executable, arguments, count, results) < 0) {
        explain_failure(callee->explain);
        return NULL;
    }
    if (record->donated && give_away(callee, record, arguments, results) < 0) {
        for (int i = 0; i < callee->tree.leaf_count; i++)
            Py_DECREF(results[i]);
        return NULL;
    }
    return tree_build(&callee->tree, results);
}

static PyObject *run(Callee *callee, const Record *record, const Signature *s, PyObject *hidden)
{
    Py_ssize_t hidden_count = PySequence_Fast_GET_SIZE(hidden);
    Py_ssize_t count = s->leaf_count + hidden_count;
    Py_ssize_t total = count + callee->tree.leaf_count;
    PyObject *local[FEW], **arguments = local;
    if (total > FEW) {
        arguments = PyMem_Malloc((size_t)total * sizeof *arguments);
        if (!arguments)
            return PyErr_NoMemory();
    }
    for (int i = 0; i < s->leaf_count; i++)
        arguments[i] = s->leaves[record->order ? record->order[i] : i];
    if (hidden_count)
        memcpy(arguments + s->leaf_count, PySequence_Fast_ITEMS(hidden),
               (size_t)hidden_count * sizeof *arguments);
    PyObject *result = run_on(callee, record, arguments, count, arguments + count);
    if (arguments != local)
        PyMem_Free(arguments);
    return result;
}

/* The result of the first that holds; NULL without an error if none does. */
static PyObject *run_first(const Record *record, const Signature *s)
{
    PyObject *callees = record->callees;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(callees); i++) {
        Callee *callee = (Callee *)Py_NewRef(PyList_GET_ITEM(callees, i));
        PyObject *result = NULL, *hidden = NULL;
        bool is_callee = Py_TYPE(callee) == CalleeType;
        if (is_callee)
            hidden = hidden_inputs(callee);
        else
            PyErr_SetString(PyExc_TypeError, "the callees of a Dispatcher must be Callees");
        bool holds = hidden && hidden != Py_None;
        if (holds)
            result = run(callee, record, s, hidden);
        Py_XDECREF(hidden);
        Py_DECREF(callee);
        if (holds || !hidden)
            return result;
    }
    return NULL;
}

/* ---- a call ---- */

static PyObject *call_miss(Dispatcher *self, PyObject *const *arguments, Py_ssize_t count,
                           PyObject *names)
{
    PyObject *positional = PyTuple_New(count), *named = PyDict_New(), *result = NULL;
    for (Py_ssize_t i = 0; positional && i < count; i++)
        PyTuple_SET_ITEM(positional, i, Py_NewRef(arguments[i]));
    bool ready = positional && named;
    for (Py_ssize_t i = 0; ready && names && i < PyTuple_GET_SIZE(names); i++)
        ready = PyDict_SetItem(named, PyTuple_GET_ITEM(names, i), arguments[count + i]) == 0;
    if (ready)
        result = PyObject_CallMethodObjArgs((PyObject *)self, name_miss, positional, named, NULL);
    Py_XDECREF(positional);
    Py_XDECREF(named);
    return result;
}

/* The commonest call: Arrays, for a program that depends on nothing else. NULL without an error if
 * it is not one; no Python code runs before that is known. */
static PyObject *call_latest(Dispatcher *self, PyObject *const *arguments, Py_ssize_t count,
                             PyObject *names)
{
    const Record *record = self->latest;
    if (!record || !record->is_matchable || !PyList_GET_SIZE(record->callees))
        return NULL;
    Callee *callee = (Callee *)PyList_GET_ITEM(record->callees, 0);
    int leaf_count = record->leaf_count;
    if (Py_TYPE(callee) != CalleeType || !callee->is_direct
        || leaf_count + callee->tree.leaf_count > FEW)
        return NULL;
    PyObject *leaves[FEW], *result = NULL;
    if (!match_call(record->words, record->objects, record->place, arguments, count, names, leaves))
        return NULL;
    Py_INCREF(callee);
    if (execute(callee->executable, leaves, leaf_count, leaves + leaf_count) < 0)
        explain_failure(callee->explain);
    else
        result = tree_build(&callee->tree, leaves + leaf_count);
    Py_DECREF(callee);
    return result;
}

static PyObject *call_any(Dispatcher *self, PyObject *const *arguments, Py_ssize_t count,
                          PyObject *names)
{
    Signature s;
    signature_begin(&s, false);
    Record *record = NULL;
    if (signature_of_call(&s, &self->statics, arguments, count, names) == 0)
        record = find(self, &s);
    PyObject *result = NULL;
    bool done = !record && clear_error() < 0;
    if (record) {
        result = run_first(record, &s);
        done = result || PyErr_Occurred();
        record_drop(record);
    }
    signature_end(&s);
    return done ? result : call_miss(self, arguments, count, names);
}

static PyObject *dispatcher_call(Dispatcher *self, PyObject *const *arguments, size_t flags,
                                 PyObject *names)
{
    Py_ssize_t count = PyVectorcall_NARGS(flags);
    if (!self->record_count || calling.recorder || calling.is_off)
        return call_miss(self, arguments, count, names);
    PyObject *result = call_latest(self, arguments, count, names);
    if (result || PyErr_Occurred())
        return result;
    return call_any(self, arguments, count, names);
}

static PyObject *dispatcher_call_on_threads(Dispatcher *self, PyObject *const *arguments,
                                            size_t flags, PyObject *names)
{
    int before = pool_scope_threads(self->threads);
    PyObject *result = dispatcher_call(self, arguments, flags, names);
    pool_scope_threads(before);
    return result;
}

/* ---- installing ---- */

static int walk_given(Signature *s, const Statics *statics, PyObject *args, PyObject *keywords)
{
    Py_ssize_t count = PyTuple_GET_SIZE(args), at = 0, seen = 0;
    Py_ssize_t named = PyDict_GET_SIZE(keywords);
    PyObject *names = PyTuple_New(named), *key, *value;
    PyObject **values = PyMem_Malloc((size_t)(count + named + 1) * sizeof *values);
    int failed = names && values ? 0 : -1;
    for (Py_ssize_t i = 0; i < count && !failed; i++)
        values[i] = PyTuple_GET_ITEM(args, i);
    while (!failed && PyDict_Next(keywords, &at, &key, &value)) {
        values[count + seen] = value;
        PyTuple_SET_ITEM(names, seen++, Py_NewRef(key));
    }
    if (!failed)
        failed = signature_of_call(s, statics, values, count, names);
    PyMem_Free(values);
    Py_XDECREF(names);
    return failed;
}

/* Whether the walk has found the leaves that others have, in the order that they count in. */
static bool has_leaves(const Signature *s, PyObject *leaves)
{
    if (PyList_GET_SIZE(leaves) != s->leaf_count)
        return false;
    for (int i = 0; i < s->leaf_count; i++) {
        PyObject *own = s->leaves[s->order[i]], *other = PyList_GET_ITEM(leaves, i);
        if (own != other && ARRAY_CHECK(other))
            return false;
    }
    return true;
}

static bool *read_donated(const Signature *s, PyObject *leaves, PyObject *donated)
{
    bool *flags = PyMem_Calloc((size_t)s->leaf_count + 1, sizeof *flags);
    if (!flags)
        return (bool *)PyErr_NoMemory();
    for (int i = 0; i < s->leaf_count && i < PyList_GET_SIZE(donated); i++) {
        int truth = PyObject_IsTrue(PyList_GET_ITEM(donated, i));
        if (truth < 0) {
            PyMem_Free(flags);
            return NULL;
        }
        flags[i] = truth && ARRAY_CHECK(PyList_GET_ITEM(leaves, i));
    }
    return flags;
}

static int install(Dispatcher *self, Signature *s, PyObject *leaves, PyObject *donated,
                   PyObject *callees)
{
    uint64_t hash;
    if (signature_hash(s, &hash) < 0)
        return -1;
    Record *known = search(self, s, hash);
    if (known) { /* its callees may be new */
        Py_SETREF(known->callees, Py_NewRef(callees));
        record_drop(known);
        return 0;
    }
    if (PyErr_Occurred() || make_room(self) < 0)
        return -1;
    Record *record = record_new(s, hash, callees);
    if (record && donated != Py_None) {
        record->donated = read_donated(s, leaves, donated);
        if (!record->donated) {
            record_drop(record);
            record = NULL;
        }
    }
    if (!record)
        return -1;
    record->is_matchable = !record->donated && is_matchable(record->words, record->word_count);
    place(self->slots, self->slot_count, record);
    self->record_count++;
    return 0;
}

static PyObject *dispatcher_install(Dispatcher *self, PyObject *args)
{
    PyObject *given, *keywords, *leaves, *donated, *callees;
    if (!PyArg_ParseTuple(args, "O!O!O!OO!:install", &PyTuple_Type, &given, &PyDict_Type,
                          &keywords, &PyList_Type, &leaves, &donated, &PyList_Type, &callees))
        return NULL;
    if (donated != Py_None && !PyList_Check(donated)) {
        PyErr_SetString(PyExc_TypeError, "install: donated must be a list or None");
        return NULL;
    }
    Signature s;
    signature_begin(&s, true);
    bool installed = walk_given(&s, &self->statics, given, keywords) == 0 && has_leaves(&s, leaves)
                  && install(self, &s, leaves, donated, callees) == 0;
    signature_end(&s);
    if (!installed && clear_error() < 0)
        return NULL;
    return PyBool_FromLong(installed);
}

static PyObject *dispatcher_forget(Dispatcher *self, PyObject *unused)
{
    (void)unused;
    forget_all(self);
    Py_RETURN_NONE;
}

/* ---- the types ---- */

static int read_statics(Statics *statics, PyObject *numbers, PyObject *names)
{
    Py_ssize_t count = PyTuple_GET_SIZE(numbers);
    if (PyTuple_GET_SIZE(names))
        statics->names = Py_NewRef(names);
    if (!count)
        return 0;
    statics->numbers = PyMem_Calloc((size_t)count, sizeof *statics->numbers);
    if (!statics->numbers) {
        PyErr_NoMemory();
        return -1;
    }
    statics->number_count = (int)count;
    for (Py_ssize_t i = 0; i < count; i++) {
        statics->numbers[i] = PyLong_AsSsize_t(PyTuple_GET_ITEM(numbers, i));
        if (statics->numbers[i] == -1 && PyErr_Occurred())
            return -1;
    }
    return 0;
}

static PyObject *dispatcher_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    (void)args, (void)keywords;
    Dispatcher *self = (Dispatcher *)type->tp_alloc(type, 0);
    if (self)
        self->vectorcall = (vectorcallfunc)dispatcher_call;
    return (PyObject *)self;
}

static int dispatcher_init(Dispatcher *self, PyObject *args, PyObject *keywords)
{
    static char *argument_names[] = {"static_numbers", "static_names", "threads", NULL};
    PyObject *numbers = NULL, *names = NULL, *threads = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O!O!|O:Dispatcher", argument_names,
                                     &PyTuple_Type, &numbers, &PyTuple_Type, &names, &threads))
        return -1;
    int limit = threads == Py_None ? 0 : checked_threads(threads);
    if (limit < 0)
        return -1;
    if (self->statics.numbers || self->statics.names) {
        PyErr_SetString(PyExc_RuntimeError, "a Dispatcher is initialised once");
        return -1;
    }
    if (limit) {
        self->threads = limit;
        self->vectorcall = (vectorcallfunc)dispatcher_call_on_threads;
    }
    return read_statics(&self->statics, numbers, names);
}

static int dispatcher_clear(Dispatcher *self)
{
    forget_all(self);
    Py_CLEAR(self->statics.names);
    return 0;
}

static int dispatcher_traverse(Dispatcher *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->statics.names);
    for (size_t i = 0; i < self->slot_count; i++) {
        const Record *record = self->slots[i];
        if (!record || record->references > 1 + (record == self->latest))
            continue; /* a call uses it: what it refers to is alive */
        Py_VISIT(record->callees);
        for (int k = 0; k < record->object_count; k++)
            Py_VISIT(record->objects[k]);
    }
    return 0;
}

static void dispatcher_dealloc(Dispatcher *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    dispatcher_clear(self);
    PyMem_Free(self->statics.numbers);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *dispatcher_get(PyObject *self, PyObject *instance, PyObject *owner)
{
    (void)owner;
    return instance && instance != Py_None ? PyMethod_New(self, instance) : Py_NewRef(self);
}

/* Before 3.12, classes made in Python do not inherit the fast call. */
static PyObject *init_subclass(PyObject *class, PyObject *args, PyObject *keywords)
{
    PyTypeObject *type = (PyTypeObject *)class;
    if (PyTuple_GET_SIZE(args) || (keywords && PyDict_GET_SIZE(keywords))) {
        PyErr_SetString(PyExc_TypeError, "a subclass of Dispatcher takes no arguments");
        return NULL;
    }
    if (type->tp_call == DispatcherType->tp_call
        && type->tp_descr_get == DispatcherType->tp_descr_get)
        type->tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR;
    Py_RETURN_NONE;
}

static PyMethodDef dispatcher_methods[] = {
    {"install", (PyCFunction)dispatcher_install, METH_VARARGS,
     "install(args, kwargs, leaves, donated, callees): run these callees for calls like this "
     "one; whether that is possible."},
    {"forget", (PyCFunction)dispatcher_forget, METH_NOARGS, "Forget what was installed."},
    {"__init_subclass__", (PyCFunction)(void (*)(void))init_subclass,
     METH_VARARGS | METH_KEYWORDS | METH_CLASS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef dispatcher_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Dispatcher, vectorcall), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot dispatcher_slots[] = {
    {Py_tp_doc, "A callable whose calls find their compiled program by the types of arguments."},
    {Py_tp_new, dispatcher_new},
    {Py_tp_init, dispatcher_init},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_dealloc, dispatcher_dealloc},
    {Py_tp_traverse, dispatcher_traverse},
    {Py_tp_clear, dispatcher_clear},
    {Py_tp_descr_get, dispatcher_get},
    {Py_tp_methods, dispatcher_methods},
    {Py_tp_members, dispatcher_members},
    {0, NULL},
};

static PyMemberDef callee_members[] = {
    {"executable", T_OBJECT, offsetof(Callee, executable), READONLY, "What runs."},
    {"constants", T_OBJECT, offsetof(Callee, constants), READONLY,
     "Its inputs after the arguments."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot callee_slots[] = {
    {Py_tp_doc, "An Executable, the structure of its result, and its hidden inputs."},
    {Py_tp_new, callee_new},
    {Py_tp_dealloc, callee_dealloc},
    {Py_tp_traverse, callee_traverse},
    {Py_tp_clear, callee_clear},
    {Py_tp_members, callee_members},
    {0, NULL},
};

int dispatch_setup(PyObject *module)
{
    static PyType_Spec dispatcher_spec = {
        .name = "jitml_runtime.Dispatcher",
        .basicsize = sizeof(Dispatcher),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC
               | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR,
        .slots = dispatcher_slots,
    };
    static PyType_Spec callee_spec = {
        .name = "jitml_runtime.Callee",
        .basicsize = sizeof(Callee),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
        .slots = callee_slots,
    };
    name_miss = interned("miss");
    DispatcherType = (PyTypeObject *)PyType_FromSpec(&dispatcher_spec);
    CalleeType = (PyTypeObject *)PyType_FromSpec(&callee_spec);
    if (!name_miss || !DispatcherType || !CalleeType || signature_setup() < 0 || tree_setup() < 0)
        return -1;
    numbers_setup();
    return PyModule_AddObjectRef(module, "Dispatcher", (PyObject *)DispatcherType) < 0
        || PyModule_AddObjectRef(module, "Callee", (PyObject *)CalleeType) < 0 ? -1 : 0;
}
