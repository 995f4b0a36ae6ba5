/* Anchors: words of memory that tell, as long as they stay, that objects are still where they were.
 *
 * In: checks, tuples (get, container, key, expected) that hold. Out: anchors: references in cells
 * and lists, and versions of the dicts and types that decide what an attribute or entry is. CPython
 * until 3.11 has such versions; with a later one no attribute and no entry of a dict has anchors.
 * Nothing is owned: whoever has anchors keeps the checks, and the memory of an anchor is there as
 * long as those before it stay.
 */
#include "dispatch.h"

#define MOST_ANCHORS 1024
#define MOST_OF_CHECK 6
#define HAS_VERSIONS (PY_VERSION_HEX < 0x030C0000)

PyObject *builtin_getattr, *operator_getitem;
static PyObject *name_cell_contents;

bool is_of_cell(PyObject *get, PyObject *container, PyObject *key)
{
    return get == builtin_getattr && PyCell_Check(container) && key == name_cell_contents;
}

static uint64_t word_at(const Anchor *anchor)
{
    uint64_t word = 0;
    if (anchor->is_short)
        memcpy(&word, anchor->place, sizeof(uint32_t));
    else
        memcpy(&word, anchor->place, sizeof word);
    return word;
}

bool anchors_hold(const Anchors *anchors)
{
    const Anchor *end = anchors->items + anchors->count;
    for (const Anchor *anchor = anchors->items; anchor < end; anchor++)
        if (word_at(anchor) != anchor->word)
            return false;
    return true;
}

/* ---- finding them ---- */

/* Those of one check. */
typedef struct {
    Anchor items[MOST_OF_CHECK];
    int count;
} Found;

static void found(Found *f, const void *place, bool is_short)
{
    Anchor *anchor = &f->items[f->count++];
    *anchor = (Anchor){place, is_short, 0};
    anchor->word = word_at(anchor);
}

static bool found_cell(Found *f, PyObject *cell, PyObject *expected)
{
    found(f, &((PyCellObject *)cell)->ob_ref, false);
    return PyCell_GET(cell) == expected;
}

static bool found_item(Found *f, PyObject *sequence, PyObject *key, PyObject *expected)
{
    Py_ssize_t index = PyLong_CheckExact(key) ? PyLong_AsSsize_t(key) : -1;
    PyErr_Clear();
    if (PyTuple_CheckExact(sequence)) /* it never changes */
        return index >= 0 && index < PyTuple_GET_SIZE(sequence)
            && PyTuple_GET_ITEM(sequence, index) == expected;
    if (!PyList_CheckExact(sequence) || index < 0 || index >= PyList_GET_SIZE(sequence))
        return false;
    PyListObject *list = (PyListObject *)sequence;
    found(f, &list->ob_base.ob_size, false);
    found(f, &list->ob_item, false);
    found(f, &list->ob_item[index], false);
    return list->ob_item[index] == expected;
}

#if HAS_VERSIONS

/* What a dict has, borrowed, or NULL. Its version is noted before that may run code of its keys. */
static PyObject *found_entry(Found *f, PyObject *dict, PyObject *key)
{
    found(f, &((PyDictObject *)dict)->ma_version_tag, false);
    PyObject *own = PyDict_GetItemWithError(dict, key);
    PyErr_Clear();
    return own;
}

static void found_class(Found *f, PyObject *object) { found(f, &object->ob_type, false); }

/* Its version, which a type may have none of. */
static bool found_type(Found *f, PyTypeObject *type)
{
    found(f, &type->tp_version_tag, true);
    return PyType_HasFeature(type, Py_TPFLAGS_VALID_VERSION_TAG) && type->tp_version_tag;
}

/* What a class has under a name, and that the class of that stays: no `__get__` comes or goes. */
static bool found_shared(Found *f, PyTypeObject *type, PyObject *name, PyObject **shared)
{
    *shared = _PyType_Lookup(type, name);
    if (!found_type(f, type))
        return false;
    PyTypeObject *own = *shared ? Py_TYPE(*shared) : NULL;
    if (!own || !PyType_HasFeature(own, Py_TPFLAGS_HEAPTYPE))
        return true;
    (void)_PyType_Lookup(own, name); /* that gives the type a version */
    found_class(f, *shared);
    return found_type(f, own);
}

static bool is_data_descriptor(PyObject *shared) { return shared && Py_TYPE(shared)->tp_descr_set; }

static bool found_of_instance(Found *f, PyObject *object, PyObject *name, PyObject *expected)
{
    PyObject **dict = _PyObject_GetDictPtr(object), *shared; /* may make it, and so comes first */
    found_class(f, object);
    if (!found_shared(f, Py_TYPE(object), name, &shared) || is_data_descriptor(shared))
        return false;
    if (dict)
        found(f, dict, false);
    PyObject *own = dict && *dict ? found_entry(f, *dict, name) : NULL;
    return own ? own == expected : shared && shared == expected && !Py_TYPE(shared)->tp_descr_get;
}

static bool found_of_module(Found *f, PyObject *module, PyObject *name, PyObject *expected)
{
    found_class(f, module);
    return !is_data_descriptor(_PyType_Lookup(&PyModule_Type, name))
        && found_entry(f, PyModule_GetDict(module), name) == expected;
}

/* The descriptors of static types are the same each time a type is asked for them. */
static bool found_of_type(Found *f, PyObject *type, PyObject *name, PyObject *expected)
{
    PyObject *shared;
    if (is_data_descriptor(_PyType_Lookup(&PyType_Type, name))
        || !found_shared(f, (PyTypeObject *)type, name, &shared) || shared != expected)
        return false;
    return !Py_TYPE(shared)->tp_descr_get
        || !PyType_HasFeature(Py_TYPE(shared), Py_TPFLAGS_HEAPTYPE);
}

static bool found_attribute(Found *f, PyObject *object, PyObject *name, PyObject *expected)
{
    PyTypeObject *type = Py_TYPE(object);
    if (!PyUnicode_CheckExact(name))
        return false;
    if (type == &PyModule_Type)
        return found_of_module(f, object, name, expected);
    if (type == &PyType_Type)
        return found_of_type(f, object, name, expected);
    return type->tp_getattro == PyObject_GenericGetAttr
        && found_of_instance(f, object, name, expected);
}

#else
static PyObject *found_entry(Found *f, PyObject *dict, PyObject *key)
{
    return (void)f, (void)dict, (void)key, NULL;
}

static bool found_attribute(Found *f, PyObject *object, PyObject *name, PyObject *expected)
{
    return (void)f, (void)object, (void)name, (void)expected, false;
}
#endif

static bool find(Found *f, PyObject *check)
{
    PyObject *const *parts = &PyTuple_GET_ITEM(check, 0);
    PyObject *get = parts[0], *container = parts[1], *key = parts[2], *expected = parts[3];
    f->count = 0;
    if (is_of_cell(get, container, key))
        return found_cell(f, container, expected);
    if (get == builtin_getattr)
        return found_attribute(f, container, key, expected);
    if (get != operator_getitem)
        return false;
    return PyDict_CheckExact(container) ? found_entry(f, container, key) == expected
                                        : found_item(f, container, key, expected);
}

/* ---- collecting them ---- */

static bool has(const Anchors *anchors, const Anchor *wanted)
{
    for (int i = 0; i < anchors->count; i++) {
        const Anchor *own = &anchors->items[i];
        if (own->place == wanted->place && own->word == wanted->word)
            return true;
    }
    return false;
}

static bool add(Anchors *anchors, const Anchor *anchor)
{
    if (has(anchors, anchor))
        return true;
    if (anchors->count == MOST_ANCHORS)
        return false;
    if (anchors->count == anchors->room) {
        int room = anchors->room ? anchors->room * 2 : 8;
        Anchor *larger = PyMem_Realloc(anchors->items, (size_t)room * sizeof *larger);
        if (!larger)
            return false;
        anchors->items = larger;
        anchors->room = room;
    }
    anchors->items[anchors->count++] = *anchor;
    return true;
}

bool anchors_add(Anchors *anchors, PyObject *check, const Anchors *before, bool *is_new)
{
    Found own;
    *is_new = false;
    bool anchored = find(&own, check);
    for (int i = 0; i < own.count && anchored; i++) {
        *is_new |= !has(before, &own.items[i]);
        anchored = add(anchors, &own.items[i]);
    }
    return anchored;
}

void anchors_clear(Anchors *anchors)
{
    Anchor *items = anchors->items;
    *anchors = (Anchors){NULL, 0, 0};
    PyMem_Free(items);
}

int anchors_setup(void)
{
    builtin_getattr = imported("builtins", "getattr");
    operator_getitem = imported("operator", "getitem");
    name_cell_contents = interned("cell_contents");
    return builtin_getattr && operator_getitem && name_cell_contents ? 0 : -1;
}
