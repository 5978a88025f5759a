/* A PKCS#11 library for tests: SoftHSM2, but for what a file of orders says. It is what vendors' libraries may become in the middle of a request.
 *
 * The first letter in the file of orders (its path is in CRASHING_ORDERS):
 *   s  one segmentation fault, in the next encryption or decryption; the order is carried out once
 *   S  the same in every one
 *   h  one that never returns
 *   l  one whose answer is said to have more bytes than there is memory
 *   e  one that says CKR_GENERAL_ERROR
 * Functions are called by their places in CK_FUNCTION_LIST (PKCS #11 Specification 3.1, section 3.6). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long word;
typedef struct { unsigned char major, minor; void *function[68]; } list;
typedef word (*crypt_function)(word, unsigned char *, word, unsigned char *, word *);

enum { GET_FUNCTION_LIST = 3, ENCRYPT = 30, DECRYPT = 34 };

static list ours;
static const list *theirs;

static word ordered(void)
{
    const char *path = getenv("CRASHING_ORDERS");
    char order = 0;
    int file = path ? open(path, O_RDONLY) : -1;
    if (file < 0)
        return 0;
    if (read(file, &order, 1) != 1)
        order = 0;
    close(file);
    /* Whoever takes the order away carries it out: sessions are many, and the order is one. */
    if (order && order != 'S' && unlink(path) != 0)
        return 0;
    switch (order) {
    case 's':
    case 'S':
        *(volatile int *)0 = 1;
        break;
    case 'h':
        for (;;)
            pause();
    case 'e':
        return 5;
    }
    return order == 'l' ? (word)-1 : 0;
}

static word carry_out(int place, word session, unsigned char *in, word in_length, unsigned char *out, word *out_length)
{
    word order = ordered();
    if (order == (word)-1) {
        *out_length = (word)1 << 62;
        return 0;
    }
    return order ? order : ((crypt_function)theirs->function[place])(session, in, in_length, out, out_length);
}

static word encrypt(word session, unsigned char *in, word in_length, unsigned char *out, word *out_length)
{
    return carry_out(ENCRYPT, session, in, in_length, out, out_length);
}

static word decrypt(word session, unsigned char *in, word in_length, unsigned char *out, word *out_length)
{
    return carry_out(DECRYPT, session, in, in_length, out, out_length);
}

word C_GetFunctionList(list **answer)
{
    void *library = dlopen(getenv("CRASHING_LIBRARY"), RTLD_NOW);
    word (*find)(const list **) = library ? (word(*)(const list **))dlsym(library, "C_GetFunctionList") : NULL;
    if (!find || find(&theirs) != 0)
        return 5;
    memcpy(&ours, theirs, sizeof ours);
    ours.function[GET_FUNCTION_LIST] = (void *)C_GetFunctionList;
    ours.function[ENCRYPT] = (void *)encrypt;
    ours.function[DECRYPT] = (void *)decrypt;
    *answer = &ours;
    return 0;
}
