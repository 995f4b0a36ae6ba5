/* Whether a call has a known signature, found without making one: the walk of signature.c, with the
 * known words beside it. Nothing is owned and no Python code runs, so only what needs neither is
 * matched: Arrays in tuples, lists, dicts and keyword arguments with the very keys seen before.
 *
 * In: words, objects, a call. Out: its leaves. Must not know what they are for.
 */
#include "core.h"

typedef struct {
    const uint64_t *word;
    PyObject *const *object;
    PyObject **leaves;    /* to be filled */
    const int32_t *place; /* of each leaf of the walk; NULL: as they come */
    int leaf_count;
    bool are_at_hand; /* the elements of all leaves */
} Match;

static bool match_other(Match *m, PyObject *x);

/* Deleted arrays match nothing. */
static inline bool match_array(Match *m, PyObject *x)
{
    const Array *array = (const Array *)x;
    const uint64_t *word = m->word;
    if (*word++ != (WORD_ARRAY | (uint64_t)array_kind(array) << 8))
        return false;
    for (int i = 0; i < array->dimensions; i++)
        if (*word++ != (uint64_t)array->shape[i])
            return false;
    m->word = word;
    m->are_at_hand &= array->data != NULL;
    m->leaves[m->place ? m->place[m->leaf_count] : m->leaf_count] = x;
    m->leaf_count++;
    return true;
}

static inline bool match(Match *m, PyObject *x)
{
    return ARRAY_CHECK(x) ? match_array(m, x) : match_other(m, x);
}

static bool match_items(Match *m, PyObject *const *items, Py_ssize_t count)
{
    for (Py_ssize_t i = 0; i < count; i++)
        if (!match(m, items[i]))
            return false;
    return true;
}

static bool match_dict(Match *m, PyObject *x)
{
    Py_ssize_t at = 0;
    PyObject *key, *value;
    if (*m->word++ != (WORD_DICT | (uint64_t)PyDict_GET_SIZE(x) << 8))
        return false;
    while (PyDict_Next(x, &at, &key, &value))
        if (key != *m->object++ || !match(m, value))
            return false;
    return true;
}

static bool match_other(Match *m, PyObject *x)
{
    PyTypeObject *type = Py_TYPE(x);
    if (type == &PyDict_Type)
        return match_dict(m, x);
    if (type == &PyTuple_Type)
        return *m->word++ == (WORD_TUPLE | (uint64_t)PyTuple_GET_SIZE(x) << 8)
            && match_items(m, ((PyTupleObject *)x)->ob_item, PyTuple_GET_SIZE(x));
    if (type == &PyList_Type)
        return *m->word++ == (WORD_LIST | (uint64_t)PyList_GET_SIZE(x) << 8)
            && match_items(m, ((PyListObject *)x)->ob_item, PyList_GET_SIZE(x));
    return x == Py_None && *m->word++ == WORD_NONE;
}

static bool match_named(Match *m, PyObject *const *values, PyObject *names)
{
    Py_ssize_t count = PyTuple_GET_SIZE(names);
    if (*m->word++ != (WORD_NAMED | (uint64_t)count << 8))
        return false;
    for (Py_ssize_t i = 0; i < count; i++)
        if (PyTuple_GET_ITEM(names, i) != *m->object++ || !match(m, values[i]))
            return false;
    return true;
}

/* The words end with a WORD_END, so that a call with more in it does not match either. */
bool match_call(const uint64_t *words, PyObject *const *objects, const int32_t *place,
                PyObject *const *arguments, Py_ssize_t count, PyObject *names, PyObject **leaves,
                bool *are_at_hand)
{
    Match m = {words, objects, leaves, place, 0, true};
    bool matches = *m.word++ == call_word(count) && match_items(&m, arguments, count)
        && (!names || PyTuple_GET_SIZE(names) == 0 || match_named(&m, arguments + count, names))
        && *m.word == WORD_END;
    *are_at_hand = m.are_at_hand;
    return matches;
}

/* Whether words have nothing in them that a match cannot tell. */
bool is_matchable(const uint64_t *words, int count)
{
    for (int i = 1; i < count; i++) {
        int kind = (int)(words[i] & 0xff);
        if (kind == WORD_ARRAY)
            i += word_dimensions(words[i]);
        else if (kind == WORD_NUMPY || kind == WORD_NUMBER || kind == WORD_NODE
                 || kind == WORD_STATIC)
            return false;
    }
    return true;
}
