/* What tables of compiled programs are looked up by: the structure and types of a call's arguments.
 *
 * In: arguments, any nest of containers. Out: a Signature: words for what is equal if its bits are,
 * objects that are compared by type and value, and the leaves as Arrays in the order of the walk.
 * Dicts are walked as they stand, since sorting costs; the order in which their leaves count is
 * worked out once, when a program is installed.
 *
 * A walk ends with 0, or with -1 and perhaps an error: then somebody else must look at the call.
 * Must not know what is done with a signature.
 */
#include "core.h"

#define DEEPEST 200

static PyObject *node_kinds, *sequence_flatten; /* see set_nodes */
static PyObject *name_flatten, *name_fields;

static int walk(Signature *s, PyObject *x);

/* ---- growing ---- */

void signature_begin(Signature *s, bool ordered)
{
    s->words = s->local_words;
    s->leaves = s->local_leaves;
    s->objects = s->local_objects;
    s->order = NULL;
    s->word_count = s->leaf_count = s->object_count = s->depth = 0;
    s->word_room = SIGNATURE_WORDS;
    s->leaf_room = SIGNATURE_LEAVES;
    s->object_room = SIGNATURE_OBJECTS;
    s->ordered = ordered;
}

void signature_end(Signature *s)
{
    for (int i = 0; i < s->leaf_count; i++)
        Py_DECREF(s->leaves[i]);
    for (int i = 0; i < s->object_count; i++)
        Py_DECREF(s->objects[i]);
    if (s->words != s->local_words)
        PyMem_Free(s->words);
    if (s->leaves != s->local_leaves)
        PyMem_Free(s->leaves);
    if (s->objects != s->local_objects)
        PyMem_Free(s->objects);
    PyMem_Free(s->order);
}

/* Twice the room for `used` elements of `table`, which may still be the local one. */
static void *grown(void *table, const void *local, int used, int *room, size_t size)
{
    size_t bytes = (size_t)*room * 2 * size;
    void *larger = PyMem_Realloc(table == local ? NULL : table, bytes);
    if (!larger)
        return PyErr_NoMemory();
    if (table == local)
        memcpy(larger, local, (size_t)used * size);
    *room *= 2;
    return larger;
}

static int add_word(Signature *s, uint64_t word)
{
    if (s->word_count == s->word_room) {
        void *larger = grown(s->words, s->local_words, s->word_count, &s->word_room,
                             sizeof *s->words);
        if (!larger)
            return -1;
        s->words = larger;
    }
    s->words[s->word_count++] = word;
    return 0;
}

/* Takes over the reference, also if it fails. */
static int add_object(Signature *s, PyObject *object)
{
    if (s->object_count == s->object_room) {
        void *larger = grown(s->objects, s->local_objects, s->object_count, &s->object_room,
                             sizeof *s->objects);
        if (!larger) {
            Py_DECREF(object);
            return -1;
        }
        s->objects = larger;
    }
    s->objects[s->object_count++] = object;
    return 0;
}

static int note_order(Signature *s)
{
    int room = s->leaf_count + 1;
    int32_t *larger = PyMem_Realloc(s->order, (size_t)room * sizeof *larger);
    if (!larger) {
        PyErr_NoMemory();
        return -1;
    }
    s->order = larger;
    s->order[s->leaf_count] = s->leaf_count;
    return 0;
}

/* Takes over the reference, also if it fails. */
static int add_leaf(Signature *s, int word_kind, Array *array)
{
    int failed = add_word(s, array_word(array) + (uint64_t)word_kind - WORD_ARRAY) < 0;
    for (int i = 0; i < array->dimensions && !failed; i++)
        failed = add_word(s, (uint64_t)array->shape[i]) < 0;
    if (!failed && s->ordered)
        failed = note_order(s) < 0;
    if (!failed && s->leaf_count == s->leaf_room) {
        void *larger = grown(s->leaves, s->local_leaves, s->leaf_count, &s->leaf_room,
                             sizeof *s->leaves);
        failed = !larger;
        if (larger)
            s->leaves = larger;
    }
    if (failed) {
        Py_DECREF(array);
        return -1;
    }
    s->leaves[s->leaf_count++] = (PyObject *)array;
    return 0;
}

/* ---- containers ---- */

static int walk_tuple(Signature *s, PyObject *x)
{
    Py_ssize_t count = PyTuple_GET_SIZE(x);
    int failed = add_word(s, WORD_TUPLE | (uint64_t)count << 8);
    for (Py_ssize_t i = 0; i < count && !failed; i++)
        failed = walk(s, PyTuple_GET_ITEM(x, i));
    return failed;
}

static int walk_list(Signature *s, PyObject *x)
{
    Py_ssize_t count = PyList_GET_SIZE(x);
    int failed = add_word(s, WORD_LIST | (uint64_t)count << 8);
    for (Py_ssize_t i = 0; i < count && !failed; i++) {
        if (i >= PyList_GET_SIZE(x)) /* a node's own code has changed it meanwhile */
            return -1;
        PyObject *item = Py_NewRef(PyList_GET_ITEM(x, i));
        failed = walk(s, item);
        Py_DECREF(item);
    }
    return failed;
}

/* Leaves of a dict count in the order of its sorted keys: bring those of each key there. */
static int sort_order(Signature *s, PyObject *keys, const int *starts)
{
    Py_ssize_t count = PyList_GET_SIZE(keys);
    int first = starts[0], total = s->leaf_count - first, at = 0;
    PyObject *sorted = PySequence_List(keys);
    int32_t *moved = PyMem_Malloc((size_t)(total + 1) * sizeof *moved);
    int failed = !sorted || !moved || PyList_Sort(sorted) < 0;
    for (Py_ssize_t i = 0; i < count && !failed; i++) {
        Py_ssize_t from = 0;
        while (from < count && PyList_GET_ITEM(keys, from) != PyList_GET_ITEM(sorted, i))
            from++;
        int end = from + 1 < count ? starts[from + 1] : s->leaf_count;
        for (int k = starts[from]; k < end; k++)
            moved[at++] = s->order[k];
    }
    if (!failed && total)
        memcpy(s->order + first, moved, (size_t)total * sizeof *moved);
    PyMem_Free(moved);
    Py_XDECREF(sorted);
    return failed ? -1 : 0;
}

typedef struct {
    PyObject *keys; /* NULL if the order does not matter now */
    int *starts;
} Sorting;

static int sorting_begin(Sorting *sorting, const Signature *s, Py_ssize_t count)
{
    *sorting = (Sorting){NULL, NULL};
    if (!s->ordered || count < 2)
        return 0;
    sorting->keys = PyList_New(0);
    sorting->starts = PyMem_Malloc((size_t)count * sizeof *sorting->starts);
    return sorting->keys && sorting->starts ? 0 : -1;
}

static int sorting_key(Sorting *sorting, const Signature *s, PyObject *key)
{
    if (!sorting->keys)
        return 0;
    sorting->starts[PyList_GET_SIZE(sorting->keys)] = s->leaf_count;
    return PyList_Append(sorting->keys, key);
}

static int sorting_end(Sorting *sorting, Signature *s, int failed)
{
    if (!failed && sorting->keys)
        failed = sort_order(s, sorting->keys, sorting->starts);
    Py_XDECREF(sorting->keys);
    PyMem_Free(sorting->starts);
    return failed;
}

static int walk_dict(Signature *s, PyObject *x)
{
    Py_ssize_t count = PyDict_GET_SIZE(x), seen = 0, at = 0;
    PyObject *key, *value;
    Sorting sorting;
    int failed = add_word(s, WORD_DICT | (uint64_t)count << 8);
    if (failed || sorting_begin(&sorting, s, count) < 0)
        return -1;
    while (!failed && PyDict_Next(x, &at, &key, &value)) {
        if (seen++ == count) {
            failed = -1; /* a node's own code has changed it meanwhile */
            break;
        }
        Py_INCREF(value);
        failed = add_object(s, Py_NewRef(key)) < 0 || sorting_key(&sorting, s, key) < 0
               ? -1 : walk(s, value);
        Py_DECREF(value);
    }
    failed = sorting_end(&sorting, s, failed);
    return failed || seen != count ? -1 : 0;
}

/* ---- registered nodes ---- */

static int walk_fields(Signature *s, PyObject *x, PyObject *fields)
{
    PyObject *data = PyTuple_GET_ITEM(fields, 0), *fixed = PyTuple_GET_ITEM(fields, 1);
    int failed = 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(fixed) && !failed; i++) {
        PyObject *value = PyObject_GetAttr(x, PyTuple_GET_ITEM(fixed, i));
        failed = !value || add_object(s, value) < 0 ? -1 : 0;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(data) && !failed; i++) {
        PyObject *child = PyObject_GetAttr(x, PyTuple_GET_ITEM(data, i));
        failed = child ? walk(s, child) : -1;
        Py_XDECREF(child);
    }
    return failed;
}

/* What `flatten(x) -> (children, static data)` gives. */
static int walk_flattened(Signature *s, PyObject *x, PyObject *flatten)
{
    PyObject *pair = PyObject_CallOneArg(flatten, x);
    if (!pair)
        return -1;
    PyObject *children = PyTuple_Check(pair) && PyTuple_GET_SIZE(pair) == 2
                       ? PySequence_Tuple(PyTuple_GET_ITEM(pair, 0)) : NULL;
    int failed = !children || add_object(s, Py_NewRef(PyTuple_GET_ITEM(pair, 1))) < 0 ? -1 : 0;
    Py_DECREF(pair);
    if (!failed)
        failed = walk_tuple(s, children);
    Py_XDECREF(children);
    return failed;
}

static int walk_node(Signature *s, PyObject *x, PyObject *kind)
{
    PyObject *flatten = PyObject_GetAttr(kind, name_flatten);
    PyObject *fields = flatten ? PyObject_GetAttr(kind, name_fields) : NULL;
    int failed = !fields || add_word(s, WORD_NODE) < 0 || add_object(s, Py_NewRef(kind)) < 0;
    if (failed)
        ;
    else if (flatten == sequence_flatten && PyTuple_Check(x))
        failed = walk_tuple(s, x);
    else if (PyTuple_CheckExact(fields))
        failed = walk_fields(s, x, fields);
    else
        failed = walk_flattened(s, x, flatten);
    Py_XDECREF(flatten);
    Py_XDECREF(fields);
    return failed ? -1 : 0;
}

/* ---- leaves ---- */

static int walk_number(Signature *s, PyObject *x, int dtype)
{
    Array *array = array_of_number(x, dtype, !PyBool_Check(x));
    return array ? add_leaf(s, WORD_NUMBER, array) : -1;
}

static int walk_numpy(Signature *s, PyObject *x)
{
    if (!is_plain_numpy(x))
        return -1;
    PyObject *array = array_from_numpy(x, false, true);
    return array ? add_leaf(s, WORD_NUMPY, (Array *)array) : -1;
}

static int walk_other(Signature *s, PyObject *x)
{
    int dtype = number_dtype(x);
    if (dtype >= 0)
        return walk_number(s, x, dtype);
    PyObject *kind = node_kinds ? PyDict_GetItemWithError(node_kinds, (PyObject *)Py_TYPE(x))
                                : NULL;
    if (!kind) /* not met before; others will enter it */
        return -1;
    if (kind == Py_None)
        return walk_numpy(s, x);
    Py_INCREF(kind);
    int failed = walk_node(s, x, kind);
    Py_DECREF(kind);
    return failed;
}

static int walk(Signature *s, PyObject *x)
{
    PyTypeObject *type = Py_TYPE(x);
    if (type == ArrayType)
        return add_leaf(s, WORD_ARRAY, (Array *)Py_NewRef(x));
    if (x == Py_None)
        return add_word(s, WORD_NONE);
    if (s->depth == DEEPEST)
        return -1;
    s->depth++;
    int failed = type == &PyTuple_Type  ? walk_tuple(s, x)
               : type == &PyList_Type   ? walk_list(s, x)
               : type == &PyDict_Type   ? walk_dict(s, x)
                                        : walk_other(s, x);
    s->depth--;
    return failed;
}

/* ---- calls ---- */

static int walk_static(Signature *s, PyObject *x)
{
    return add_word(s, WORD_STATIC) < 0 ? -1 : add_object(s, Py_NewRef(x));
}

static bool is_static(const Statics *statics, Py_ssize_t position, Py_ssize_t count)
{
    for (int i = 0; i < statics->number_count; i++) {
        Py_ssize_t number = statics->numbers[i];
        if ((number < 0 ? number + count : number) == position)
            return true;
    }
    return false;
}

static int walk_named(Signature *s, const Statics *statics, PyObject *const *values,
                      PyObject *names)
{
    Py_ssize_t count = PyTuple_GET_SIZE(names);
    Sorting sorting;
    int failed = add_word(s, WORD_NAMED | (uint64_t)count << 8);
    if (failed || sorting_begin(&sorting, s, count) < 0)
        return -1;
    for (Py_ssize_t i = 0; i < count && !failed; i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i);
        int fixed = statics->names ? PySequence_Contains(statics->names, name) : 0;
        if (fixed < 0 || add_object(s, Py_NewRef(name)) < 0 || sorting_key(&sorting, s, name) < 0)
            failed = -1;
        else
            failed = fixed ? walk_static(s, values[i]) : walk(s, values[i]);
    }
    return sorting_end(&sorting, s, failed);
}

int signature_of_call(Signature *s, const Statics *statics, PyObject *const *arguments,
                      Py_ssize_t count, PyObject *names)
{
    int failed = add_word(s, call_word(count));
    for (Py_ssize_t i = 0; i < count && !failed; i++)
        failed = statics->number_count && is_static(statics, i, count)
               ? walk_static(s, arguments[i]) : walk(s, arguments[i]);
    if (!failed && names && PyTuple_GET_SIZE(names))
        failed = walk_named(s, statics, arguments + count, names);
    return failed;
}

/* ---- comparison ---- */

int signature_hash(const Signature *s, uint64_t *hash)
{
    uint64_t mixed = 0x9e3779b97f4a7c15u;
    for (int i = 0; i < s->word_count; i++)
        mixed = (mixed ^ s->words[i]) * 0xff51afd7ed558ccdu, mixed ^= mixed >> 32;
    for (int i = 0; i < s->object_count; i++) {
        Py_hash_t own = PyObject_Hash(s->objects[i]);
        if (own == -1)
            return -1;
        mixed = (mixed ^ (uint64_t)own) * 0xff51afd7ed558ccdu, mixed ^= mixed >> 32;
    }
    *hash = mixed;
    return 0;
}

/* Whether two values are the same to a program: 1 is neither True nor 1.0, and 0.0 is not -0.0. */
int is_same_value(PyObject *a, PyObject *b)
{
    if (a == b)
        return 1;
    if (Py_TYPE(a) != Py_TYPE(b))
        return 0;
    if (PyFloat_CheckExact(a)) {
        double x = PyFloat_AS_DOUBLE(a), y = PyFloat_AS_DOUBLE(b);
        return memcmp(&x, &y, sizeof x) == 0;
    }
    if (PyComplex_CheckExact(a))
        return memcmp(&((PyComplexObject *)a)->cval, &((PyComplexObject *)b)->cval,
                      sizeof(Py_complex)) == 0;
    if (PyTuple_CheckExact(a)) {
        int same = PyTuple_GET_SIZE(a) == PyTuple_GET_SIZE(b);
        if (Py_EnterRecursiveCall(" in a comparison of arguments"))
            return -1;
        for (Py_ssize_t i = 0; same == 1 && i < PyTuple_GET_SIZE(a); i++)
            same = is_same_value(PyTuple_GET_ITEM(a, i), PyTuple_GET_ITEM(b, i));
        Py_LeaveRecursiveCall();
        return same;
    }
    return PyObject_RichCompareBool(a, b, Py_EQ);
}

/* ---- what is a container ---- */

PyObject *set_nodes(PyObject *module, PyObject *table)
{
    (void)module;
    PyObject *tuples = PyDict_Check(table)
                     ? PyDict_GetItemWithError(table, (PyObject *)&PyTuple_Type) : NULL;
    PyObject *flatten = tuples ? PyObject_GetAttr(tuples, name_flatten) : NULL;
    if (!flatten) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "set_nodes needs a dict of node kinds by type");
        return NULL;
    }
    Py_XSETREF(sequence_flatten, flatten);
    Py_XSETREF(node_kinds, Py_NewRef(table));
    Py_RETURN_NONE;
}

int signature_setup(void)
{
    name_flatten = interned("flatten");
    name_fields = interned("fields");
    return name_flatten && name_fields ? 0 : -1;
}
