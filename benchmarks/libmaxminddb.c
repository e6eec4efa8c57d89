/* libmaxminddb as a C program uses it: text in, two letters out. Built and called by peers.py. */

#include <maxminddb.h>
#include <stdlib.h>
#include <string.h>

MMDB_s *open_database(const char *path) {
    MMDB_s *database = malloc(sizeof *database);
    if (database && MMDB_open(path, MMDB_MODE_MMAP, database) != MMDB_SUCCESS) {
        free(database);
        return NULL;
    }
    return database;
}

/* Look up `count` texts that lie `width` bytes apart. `answers` takes two letters for each, or is
 * NULL where only the time counts. Returns how many were found, or -1 after an error. */
long look_up(const MMDB_s *database, const char *texts, size_t width, size_t count, char *answers) {
    long found = 0;
    for (size_t at = 0; at < count; at++) {
        int address_error, database_error;
        MMDB_entry_data_s code;
        MMDB_lookup_result_s result =
            MMDB_lookup_string(database, texts + at * width, &address_error, &database_error);
        if (address_error || database_error)
            return -1;
        if (!result.found_entry)
            continue;
        if (MMDB_get_value(&result.entry, &code, "country", "iso_code", NULL) != MMDB_SUCCESS ||
            code.data_size != 2)
            return -1;
        if (answers)
            memcpy(answers + 2 * at, code.utf8_string, 2);
        found++;
    }
    return found;
}
