/* Valid JSON made a little wrong, at random: members lost, added, misplaced,
 * of another type or value. */

#ifndef TESTS_UNIT_JSON_DAMAGE_H
#define TESTS_UNIT_JSON_DAMAGE_H 1

#include <stddef.h>
#include <stdint.h>

struct json;

struct json_damage {
    uint32_t (*random)(uint32_t n); /* Of 0...n - 1. */
    const char *const *strings; /* That may come up as values. */
    size_t n_strings;
    const char *const *names;   /* That may come up as members. */
    size_t n_names;
};

/* Does one thing to 'json', an object with up to some thousand values. */
void json_damage(const struct json_damage *, struct json *json);

#endif /* tests/unit/json-damage.h */
