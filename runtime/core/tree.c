/* Results put together: a table of nodes in the order of a walk, made once for each program.
 *
 * In: the structure of a result as nested tuples (kind, static data, children), None for a leaf.
 * Out: trees of leaves. Must not know where the leaves come from.
 */
#include "core.h"

enum { FEW_KEYS = 5 }; /* that a new dict has room for; a copy has room for all */

static PyObject *name_type, *name_unflatten;

/* ---- the table ---- */

static int node_of_kind(TreeNode *node, PyObject *kind)
{
    PyObject *type = PyObject_GetAttr(kind, name_type);
    if (!type)
        return -1;
    node->kind = type == (PyObject *)Py_TYPE(Py_None) ? TREE_NONE
               : type == (PyObject *)&PyTuple_Type    ? TREE_TUPLE
               : type == (PyObject *)&PyList_Type     ? TREE_LIST
               : type == (PyObject *)&PyDict_Type     ? TREE_DICT
                                                      : TREE_OTHER;
    Py_DECREF(type);
    node->make = node->kind == TREE_OTHER ? PyObject_GetAttr(kind, name_unflatten) : NULL;
    return node->kind == TREE_OTHER && !node->make ? -1 : 0;
}

static int read_keys(TreeNode *node)
{
    if (!PyTuple_Check(node->data) || PyTuple_GET_SIZE(node->data) != node->count) {
        PyErr_SetString(PyExc_TypeError, "the static data of a dict is a tuple of its keys");
        return -1;
    }
    if (node->count > FEW_KEYS)
        node->make = PyObject_CallMethod((PyObject *)&PyDict_Type, "fromkeys", "(O)", node->data);
    return node->count > FEW_KEYS && !node->make ? -1 : 0;
}

static int read_node(Tree *tree, PyObject *spec, int *room)
{
    if (tree->count == *room) {
        TreeNode *larger = PyMem_Realloc(tree->nodes, (size_t)*room * 2 * sizeof *larger);
        if (!larger) {
            PyErr_NoMemory();
            return -1;
        }
        tree->nodes = larger;
        *room *= 2;
    }
    int own = tree->count++;
    tree->nodes[own] = (TreeNode){TREE_LEAF, 0, NULL, NULL};
    if (spec == Py_None) {
        tree->leaf_count++;
        return 0;
    }
    PyObject *kind, *data, *children;
    if (!PyTuple_Check(spec)) {
        PyErr_SetString(PyExc_TypeError, "the structure of a tree is made of tuples");
        return -1;
    }
    if (!PyArg_ParseTuple(spec, "OOO!", &kind, &data, &PyTuple_Type, &children))
        return -1;
    Py_ssize_t count = PyTuple_GET_SIZE(children);
    tree->nodes[own].count = (int)count;
    tree->nodes[own].data = Py_NewRef(data);
    if (node_of_kind(&tree->nodes[own], kind) < 0)
        return -1;
    if (tree->nodes[own].kind == TREE_DICT && read_keys(&tree->nodes[own]) < 0)
        return -1;
    if (Py_EnterRecursiveCall(" in the structure of a result"))
        return -1;
    int failed = 0;
    for (Py_ssize_t i = 0; i < count && !failed; i++)
        failed = read_node(tree, PyTuple_GET_ITEM(children, i), room);
    Py_LeaveRecursiveCall();
    return failed;
}

int tree_read(Tree *tree, PyObject *spec)
{
    int room = 8;
    tree->nodes = PyMem_Malloc((size_t)room * sizeof *tree->nodes);
    if (!tree->nodes) {
        PyErr_NoMemory();
        return -1;
    }
    return read_node(tree, spec, &room);
}

void tree_clear(Tree *tree)
{
    TreeNode *nodes = tree->nodes;
    int count = tree->count;
    *tree = (Tree){NULL, 0, 0};
    for (int i = 0; i < count; i++) {
        Py_XDECREF(nodes[i].data);
        Py_XDECREF(nodes[i].make);
    }
    PyMem_Free(nodes);
}

int tree_traverse(const Tree *tree, visitproc visit, void *arg)
{
    for (int i = 0; i < tree->count; i++) {
        Py_VISIT(tree->nodes[i].data);
        Py_VISIT(tree->nodes[i].make);
    }
    return 0;
}

/* ---- building ---- */

typedef struct {
    const TreeNode *node;
    PyObject **leaf; /* the next one; it is taken, and NULL left in its place */
} Building;

static PyObject *build(Building *at);

static PyObject *build_tuple(Building *at, int count)
{
    PyObject *tuple = PyTuple_New(count);
    for (int i = 0; tuple && i < count; i++) {
        PyObject *child = build(at);
        if (!child)
            Py_CLEAR(tuple);
        else
            PyTuple_SET_ITEM(tuple, i, child);
    }
    return tuple;
}

static PyObject *build_list(Building *at, int count)
{
    PyObject *list = PyList_New(count);
    for (int i = 0; list && i < count; i++) {
        PyObject *child = build(at);
        if (!child)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, i, child);
    }
    return list;
}

static PyObject *build_dict(Building *at, const TreeNode *node)
{
    PyObject *dict = node->make ? PyDict_Copy(node->make) : PyDict_New();
    for (int i = 0; dict && i < node->count; i++) {
        PyObject *child = build(at);
        if (!child || PyDict_SetItem(dict, PyTuple_GET_ITEM(node->data, i), child) < 0)
            Py_CLEAR(dict);
        Py_XDECREF(child);
    }
    return dict;
}

static PyObject *build_other(Building *at, const TreeNode *node)
{
    PyObject *children = build_list(at, node->count);
    if (!children)
        return NULL;
    PyObject *arguments[] = {NULL, node->data, children};
    PyObject *made = PyObject_Vectorcall(node->make, arguments + 1,
                                         2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    Py_DECREF(children);
    return made;
}

static PyObject *build(Building *at)
{
    const TreeNode *node = at->node++;
    if (node->kind == TREE_LEAF) {
        PyObject *leaf = *at->leaf;
        *at->leaf++ = NULL;
        return leaf;
    }
    switch (node->kind) {
    case TREE_TUPLE:
        return build_tuple(at, node->count);
    case TREE_LIST:
        return build_list(at, node->count);
    case TREE_DICT:
        return build_dict(at, node);
    case TREE_NONE:
        Py_RETURN_NONE;
    default:
        return build_other(at, node);
    }
}

PyObject *tree_build(const Tree *tree, PyObject **leaves)
{
    if (tree->nodes->kind == TREE_LEAF)
        return *leaves;
    Building at = {tree->nodes, leaves};
    PyObject *result = build(&at);
    for (int i = 0; !result && i < tree->leaf_count; i++)
        Py_CLEAR(leaves[i]);
    return result;
}

int tree_setup(void)
{
    name_type = interned("type");
    name_unflatten = interned("unflatten");
    return name_type && name_unflatten ? 0 : -1;
}
