/* For how long certificates are valid, of some that are made here. */

#include <config.h>

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "mapping/tls.h"

enum { HOUR = 3600, SLACK = 60 };

#define YEAR (365 * 86400LL)

/* What the program says of a certificate that ends in 'seconds'. */
static int
seconds_left(long long int seconds)
{
    char path[] = "/tmp/test-tls.XXXXXX";
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    X509 *cert = X509_new();
    int fd = mkstemp(path), left;
    FILE *stream = fdopen(fd, "w");

    assert_non_null(stream);
    assert_non_null(key);
    X509_set_pubkey(cert, key);
    ASN1_TIME_set(X509_getm_notBefore(cert), time(NULL) - 200 * YEAR);
    assert_non_null(ASN1_TIME_set(X509_getm_notAfter(cert),
                                  time(NULL) + seconds));
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    assert_true(PEM_write_X509(stream, cert));
    assert_int_equal(fclose(stream), 0);
    left = tls_seconds_left(path);
    unlink(path);
    X509_free(cert);
    EVP_PKEY_free(key);
    return left;
}

static void
test_seconds_left(void **state)
{
    (void) state;
    assert_in_range(seconds_left(HOUR), HOUR - SLACK, HOUR);
    assert_in_range(-seconds_left(-HOUR), HOUR, HOUR + SLACK);
    assert_in_range(seconds_left(YEAR), YEAR - SLACK, YEAR);

    /* More than an int holds. */
    assert_int_equal(seconds_left(100 * YEAR), INT_MAX);
    for (int years = 60; years < 140; years++) {
        assert_true(seconds_left(-years * YEAR) < 0);
    }
    assert_int_equal(tls_seconds_left("/nowhere"), INT_MAX);
    assert_int_equal(tls_seconds_left("/dev/null"), INT_MAX);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seconds_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
