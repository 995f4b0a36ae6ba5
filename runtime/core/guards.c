/* Guard: the hidden inputs of a program that depends on values read from Python, found without Python
 * code as long as those values are the same objects.
 *
 * In: what to watch, told after each decision. Out: the hidden inputs; where anything differs or
 * fails, what the function `decide` gives, which looks closer. Must not know what the values are.
 */
#include "dispatch.h"

#include <structmember.h>

enum { FEW_CHANGES = 4, LOOKED_AT = 255, MANY_CALLS = 64 };

/* What to watch. Alive while the guard or a call refers to it. */
typedef struct {
    Py_ssize_t references;
    PyObject *checks;   /* (same, equal, inputs) */
    Anchors anchors;    /* as long as they hold, so do the checks of `same` that have any */
    bool is_anchored;
    bool has_places;    /* inputs must be looked for */
    int looked_at;      /* checks of `same` without anchors */
    uint32_t calls;     /* since anchors were found */
    uint8_t changes[];  /* per check of `same`: times its anchors were new; or LOOKED_AT */
} Watch;

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *decide;
    Watch *watch; /* NULL as long as nothing is known */
} Guard;

static PyTypeObject *GuardType;

/* ---- what a place holds now ---- */

static PyObject *entry_of(PyObject *container, PyObject *key)
{
    if (!PyDict_CheckExact(container))
        return PyObject_GetItem(container, key);
    PyObject *found = PyDict_GetItemWithError(container, key);
    if (!found && !PyErr_Occurred())
        PyErr_SetObject(PyExc_KeyError, key);
    return Py_XNewRef(found);
}

/* get(container, key): a new reference, or NULL with an error. */
static PyObject *look(PyObject *get, PyObject *container, PyObject *key)
{
    if (get == operator_getitem)
        return entry_of(container, key);
    if (get == builtin_getattr) {
        PyObject *held = is_of_cell(get, container, key) ? PyCell_GET(container) : NULL;
        return held ? Py_NewRef(held) : PyObject_GetAttr(container, key);
    }
    PyObject *const arguments[] = {container, key};
    return PyObject_Vectorcall(get, arguments, 2, NULL);
}

/* The tuple `check` begins with get, container, key. */
static PyObject *look_at(PyObject *check)
{
    PyObject *const *parts = &PyTuple_GET_ITEM(check, 0);
    return look(parts[0], parts[1], parts[2]);
}

/* ---- checks: 1 if they hold, 0 if not, -1 with an error ---- */

static int is_same(PyObject *check)
{
    PyObject *found = look_at(check);
    bool same = found == PyTuple_GET_ITEM(check, 3);
    if (!found)
        return -1;
    Py_DECREF(found);
    return same;
}

/* `all` of them, or those that have no anchors. */
static int are_same(const Watch *watch, bool all)
{
    PyObject *checks = PyTuple_GET_ITEM(watch->checks, 0);
    int same = 1;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(checks) && same == 1; i++)
        if (all || watch->changes[i] == LOOKED_AT)
            same = is_same(PyTuple_GET_ITEM(checks, i));
    return same;
}

static int are_equal(PyObject *checks)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(checks); i++) {
        PyObject *check = PyTuple_GET_ITEM(checks, i);
        PyObject *found = look_at(check);
        int equal = found ? PyObject_RichCompareBool(found, PyTuple_GET_ITEM(check, 3), Py_EQ) : -1;
        Py_XDECREF(found);
        if (equal <= 0)
            return equal;
    }
    return 1;
}

static bool has_shape(const Array *array, PyObject *shape)
{
    if (PyTuple_GET_SIZE(shape) != array->dimensions)
        return false;
    for (int i = 0; i < array->dimensions; i++)
        if (PyLong_AsLongLong(PyTuple_GET_ITEM(shape, i)) != array->shape[i])
            return false;
    return true;
}

/* The Array in all of the places, if it has the type; NULL, perhaps with an error, if not. */
static PyObject *fetched(PyObject *input)
{
    PyObject *const *parts = &PyTuple_GET_ITEM(input, 0);
    PyObject *dtype = parts[0], *shape = parts[1], *places = parts[3], *first = NULL;
    bool weak = parts[2] == Py_True;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(places); i++) {
        PyObject *found = look_at(PyTuple_GET_ITEM(places, i));
        bool same = found && (found == first || !first);
        Py_XSETREF(first, found);
        if (!same) {
            Py_CLEAR(first);
            return NULL;
        }
    }
    const Array *array = (const Array *)first;
    if (first && ARRAY_CHECK(first) && dtype_rows[array->dtype].dtype == dtype
        && array->weak == weak && has_shape(array, shape))
        return first;
    Py_XDECREF(first);
    return NULL;
}

/* ---- what is watched ---- */

static void watch_drop(Watch *watch)
{
    if (!watch || --watch->references)
        return;
    PyObject *checks = watch->checks;
    anchors_clear(&watch->anchors);
    PyMem_Free(watch);
    Py_DECREF(checks);
}

static Watch *watch_new(PyObject *checks)
{
    size_t count = (size_t)PyTuple_GET_SIZE(PyTuple_GET_ITEM(checks, 0));
    Watch *watch = PyMem_Calloc(1, sizeof *watch + count);
    if (!watch)
        return (Watch *)PyErr_NoMemory();
    watch->references = 1;
    watch->checks = Py_NewRef(checks);
    PyObject *inputs = PyTuple_GET_ITEM(checks, 2);
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(inputs); i++)
        watch->has_places |= PyTuple_CheckExact(PyTuple_GET_ITEM(inputs, i));
    return watch;
}

/* Anchors for the checks as things are now. One whose anchors change at every few calls, like those
 * of globals beside a counter, is better looked at. */
static Anchors found_anchors(Watch *watch)
{
    Anchors anchors = {NULL, 0, 0};
    PyObject *checks = PyTuple_GET_ITEM(watch->checks, 0);
    bool is_soon = watch->calls < MANY_CALLS;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(checks); i++) {
        bool is_new, is_anchored = watch->changes[i] < FEW_CHANGES
            && anchors_add(&anchors, PyTuple_GET_ITEM(checks, i), &watch->anchors, &is_new);
        if (!is_anchored)
            watch->changes[i] = LOOKED_AT;
        else if (is_new && is_soon && watch->changes[i] != LOOKED_AT)
            watch->changes[i]++;
    }
    watch->looked_at = 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(checks); i++)
        watch->looked_at += watch->changes[i] == LOOKED_AT;
    return anchors;
}

/* Look at all checks of `same`, and anchor them anew. What is found first must still hold after. */
static int renew(Watch *watch)
{
    Anchors anchors = found_anchors(watch);
    int same = are_same(watch, true);
    if (same != 1 || !anchors_hold(&anchors)) {
        anchors_clear(&anchors);
        return same;
    }
    Anchors before = watch->anchors;
    watch->anchors = anchors;
    watch->is_anchored = true;
    watch->calls = 0;
    anchors_clear(&before);
    return 1;
}

static int holds(Watch *watch, bool *is_quiet)
{
    bool stays = watch->is_anchored && anchors_hold(&watch->anchors);
    PyObject *equal = PyTuple_GET_ITEM(watch->checks, 1);
    *is_quiet = stays && !watch->looked_at && !watch->has_places && !PyTuple_GET_SIZE(equal);
    watch->calls += watch->calls < MANY_CALLS;
    int same = !stays ? renew(watch) : watch->looked_at ? are_same(watch, false) : 1;
    return same == 1 ? are_equal(equal) : same;
}

/* A tuple of the hidden inputs; NULL, perhaps with an error, if one has changed its type. */
static PyObject *inputs_now(const Watch *watch)
{
    PyObject *inputs = PyTuple_GET_ITEM(watch->checks, 2);
    if (!watch->has_places)
        return Py_NewRef(inputs);
    PyObject *result = PyTuple_New(PyTuple_GET_SIZE(inputs));
    for (Py_ssize_t i = 0; result && i < PyTuple_GET_SIZE(inputs); i++) {
        PyObject *input = PyTuple_GET_ITEM(inputs, i);
        PyObject *found = PyTuple_CheckExact(input) ? fetched(input) : Py_NewRef(input);
        if (found)
            PyTuple_SET_ITEM(result, i, found);
        else
            Py_CLEAR(result);
    }
    return result;
}

/* ---- the guard ---- */

bool is_guard(PyObject *object) { return Py_TYPE(object) == GuardType; }

PyObject *guard_now(PyObject *object, bool *is_quiet)
{
    Watch *watch = ((Guard *)object)->watch;
    PyObject *result = NULL;
    *is_quiet = false;
    if (!watch)
        return NULL;
    watch->references++;
    if (holds(watch, is_quiet) == 1)
        result = inputs_now(watch);
    watch_drop(watch);
    if (!result)
        clear_error(); /* it is for `decide` to say what that means */
    return result;
}

static PyObject *guard_call(PyObject *self, PyObject *const *arguments, size_t flags,
                            PyObject *names)
{
    (void)arguments;
    if (PyVectorcall_NARGS(flags) || names) {
        PyErr_SetString(PyExc_TypeError, "a Guard takes no arguments");
        return NULL;
    }
    bool is_quiet;
    PyObject *result = guard_now(self, &is_quiet), *decide = ((Guard *)self)->decide;
    if (!result && !decide && !PyErr_Occurred())
        PyErr_SetString(PyExc_RuntimeError, "the Guard has ended");
    return result || PyErr_Occurred() ? result : PyObject_CallNoArgs(decide);
}

static bool are_tuples_of(PyObject *checks, Py_ssize_t count)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(checks); i++) {
        PyObject *check = PyTuple_GET_ITEM(checks, i);
        if (!PyTuple_CheckExact(check) || PyTuple_GET_SIZE(check) != count)
            return false;
    }
    return true;
}

static bool are_inputs(PyObject *inputs)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(inputs); i++) {
        PyObject *input = PyTuple_GET_ITEM(inputs, i);
        if (ARRAY_CHECK(input))
            continue;
        if (!PyTuple_CheckExact(input) || PyTuple_GET_SIZE(input) != 4)
            return false;
        PyObject *places = PyTuple_GET_ITEM(input, 3);
        if (!PyTuple_CheckExact(PyTuple_GET_ITEM(input, 1)) || !PyTuple_CheckExact(places)
            || !PyTuple_GET_SIZE(places) || !are_tuples_of(places, 3))
            return false;
    }
    return true;
}

static PyObject *guard_watch(Guard *self, PyObject *args)
{
    PyObject *same, *equal, *inputs;
    if (!PyArg_ParseTuple(args, "O!O!O!:watch", &PyTuple_Type, &same, &PyTuple_Type, &equal,
                          &PyTuple_Type, &inputs))
        return NULL;
    if (!are_tuples_of(same, 4) || !are_tuples_of(equal, 4) || !are_inputs(inputs)) {
        PyErr_SetString(PyExc_TypeError, "watch takes tuples (get, container, key, expected), and "
                                         "Arrays or (dtype, shape, weak, places)");
        return NULL;
    }
    Watch *before = self->watch, *watch = watch_new(args);
    if (!watch)
        return NULL;
    self->watch = watch;
    watch_drop(before);
    Py_RETURN_NONE;
}

static PyObject *guard_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    PyObject *decide;
    if (keywords && PyDict_GET_SIZE(keywords)) {
        PyErr_SetString(PyExc_TypeError, "a Guard takes no keyword arguments");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "O:Guard", &decide))
        return NULL;
    Guard *self = (Guard *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->vectorcall = guard_call;
    self->decide = Py_NewRef(decide);
    return (PyObject *)self;
}

static int guard_clear(Guard *self)
{
    Watch *watch = self->watch;
    self->watch = NULL;
    watch_drop(watch);
    Py_CLEAR(self->decide);
    return 0;
}

static int guard_traverse(Guard *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->decide);
    if (self->watch && self->watch->references == 1) /* else a call uses it: that is alive */
        Py_VISIT(self->watch->checks);
    return 0;
}

static void guard_dealloc(Guard *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    guard_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef guard_methods[] = {
    {"watch", (PyCFunction)guard_watch, METH_VARARGS,
     "watch(same, equal, inputs): as long as get(container, key) is, or equals, expected, for "
     "tuples of these four, the guard gives the inputs: Arrays, and for (dtype, shape, weak, "
     "places) the Array of this type that is in all of the places (get, container, key)."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef guard_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Guard, vectorcall), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot guard_slots[] = {
    {Py_tp_doc, "Guard(decide): the hidden inputs of a program as they are now, or what `decide` "
                "gives where what is watched has changed."},
    {Py_tp_new, guard_new},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_dealloc, guard_dealloc},
    {Py_tp_traverse, guard_traverse},
    {Py_tp_clear, guard_clear},
    {Py_tp_methods, guard_methods},
    {Py_tp_members, guard_members},
    {0, NULL},
};

int guard_setup(PyObject *module)
{
    static PyType_Spec spec = {
        .name = "jitml_runtime.Guard",
        .basicsize = sizeof(Guard),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
        .slots = guard_slots,
    };
    GuardType = (PyTypeObject *)PyType_FromSpec(&spec);
    if (!GuardType || anchors_setup() < 0)
        return -1;
    return PyModule_AddObjectRef(module, "Guard", (PyObject *)GuardType);
}
