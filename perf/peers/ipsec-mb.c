/*
 * Bursts of equal packets through libipsec-mb's AES-GCM, in place: what `crossgate-perf kernels` gives to every other engine, too.
 *
 *   ipsec-mb seal|open 128|192|256 PAYLOAD_BYTES SAS
 *
 * Prints "version VERSION ARCHITECTURE" and "packet HEX", the last packet of a burst, sealed. Then, for each line N on standard input, a line with the TSC
 * cycles of N bursts. Keys, nonces and additional data are those of perf/src/engine.rs.
 *
 * The library is called as it is fastest: directly, a packet at a time. Its bursts of jobs are taken apart again for GCM.
 */
#include <intel-ipsec-mb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <x86intrin.h>

enum { BURST = 32, OFFSET = 14 + 20 + 8 + 8, TAG = 16, NONCE = 12, AAD_BYTES = 8, KEY_MAX = 32 };

static const uint8_t AAD[AAD_BYTES] = { 0, 0, 1, 0, 0, 0, 0, 1 };

static IMB_MGR *mgr;
static struct gcm_key_data *keys;
/* The library's functions for the key's length. */
static aes_gcm_pre_t expand;
static aes_gcm_enc_dec_t encrypt, decrypt;
static int sas;
static size_t payload_bytes;
static uint8_t *packets[BURST], *sealed[BURST], nonces[BURST][NONCE];

static void fail(const char *why)
{
    fprintf(stderr, "ipsec-mb: %s\n", why);
    exit(1);
}

static void prepare_key(int sa)
{
    uint8_t key[KEY_MAX];
    for (int i = 0; i < KEY_MAX; i++)
        key[i] = i % 8 < 4 ? (uint8_t)((uint32_t)sa >> (8 * (i % 8))) : 0;
    expand(key, &keys[sa]);
}

static void prepare_packet(int i)
{
    size_t bytes = OFFSET + payload_bytes + TAG;
    packets[i] = malloc(bytes);
    sealed[i] = malloc(bytes);
    if (packets[i] == NULL || sealed[i] == NULL)
        fail("no memory");
    memset(packets[i], 0x5a, bytes);
    memset(nonces[i], 0, NONCE);
    memset(nonces[i], 9, 4);
    nonces[i][NONCE - 1] = (uint8_t)i;
}

static void seal(void)
{
    struct gcm_context_data context;
    for (int i = 0; i < BURST; i++) {
        const struct gcm_key_data *key = &keys[i % sas];
        uint8_t *data = packets[i] + OFFSET;
        encrypt(key, &context, data, data, payload_bytes, nonces[i], AAD, AAD_BYTES, data + payload_bytes, TAG);
    }
}

/* Whether every packet was authentic; the library only computes the tag, its caller compares. */
static int open_burst(void)
{
    struct gcm_context_data context;
    int different = 0;
    for (int i = 0; i < BURST; i++) {
        const struct gcm_key_data *key = &keys[i % sas];
        uint8_t *data = packets[i] + OFFSET, tag[TAG];
        decrypt(key, &context, data, data, payload_bytes, nonces[i], AAD, AAD_BYTES, tag, TAG);
        different |= memcmp(tag, data + payload_bytes, TAG);
    }
    return different == 0;
}

static void restore(void)
{
    for (int i = 0; i < BURST; i++)
        memcpy(packets[i], sealed[i], OFFSET + payload_bytes + TAG);
}

static void check(void)
{
    seal();
    for (int i = 0; i < BURST; i++)
        memcpy(sealed[i], packets[i], OFFSET + payload_bytes + TAG);
    if (!open_burst())
        fail("a packet that it sealed is not authentic to it");
    for (int i = 0; i < BURST; i++)
        for (size_t at = 0; at < payload_bytes; at++)
            if (packets[i][OFFSET + at] != 0x5a)
                fail("a packet is not what it was before it was sealed");
    printf("packet ");
    for (size_t at = 0; at < payload_bytes + TAG; at++)
        printf("%02x", sealed[BURST - 1][OFFSET + at]);
    printf("\n");
}

static int choose(int key_bits)
{
    switch (key_bits) {
    case 128: expand = mgr->gcm128_pre; encrypt = mgr->gcm128_enc; decrypt = mgr->gcm128_dec; return 1;
    case 192: expand = mgr->gcm192_pre; encrypt = mgr->gcm192_enc; decrypt = mgr->gcm192_dec; return 1;
    case 256: expand = mgr->gcm256_pre; encrypt = mgr->gcm256_enc; decrypt = mgr->gcm256_dec; return 1;
    default: return 0;
    }
}

static const char *architecture(IMB_ARCH arch)
{
    switch (arch) {
    case IMB_ARCH_SSE: return "SSE";
    case IMB_ARCH_AVX: return "AVX";
    case IMB_ARCH_AVX2: return "AVX2";
    case IMB_ARCH_AVX512: return "AVX-512";
    default: return "without AES-NI";
    }
}

int main(int argc, char **argv)
{
    if (argc != 5)
        fail("usage: ipsec-mb seal|open 128|192|256 PAYLOAD_BYTES SAS");
    int opens = strcmp(argv[1], "open") == 0;
    payload_bytes = (size_t)atol(argv[3]);
    sas = atoi(argv[4]);
    if (sas < 1 || sas > BURST)
        fail("no such case");
    IMB_ARCH arch;
    mgr = alloc_mb_mgr(0);
    if (mgr == NULL)
        fail("no manager");
    init_mb_mgr_auto(mgr, &arch);
    if (!choose(atoi(argv[2])))
        fail("no such key length");
    keys = aligned_alloc(64, (sizeof(*keys) * (size_t)sas + 63) / 64 * 64);
    if (keys == NULL)
        fail("no memory");
    for (int sa = 0; sa < sas; sa++)
        prepare_key(sa);
    for (int i = 0; i < BURST; i++)
        prepare_packet(i);
    printf("version %s %s\n", imb_get_version_str(), architecture(arch));
    check();
    fflush(stdout);

    char line[32];
    while (fgets(line, sizeof(line), stdin) != NULL) {
        for (long left = atol(line); left > 0; left--) {
            int authentic = 1;
            if (opens)
                restore();
            uint64_t began = __rdtsc();
            if (opens)
                authentic = open_burst();
            else
                seal();
            uint64_t ended = __rdtsc();
            if (!authentic)
                fail("a packet was not authentic");
            printf("%llu ", (unsigned long long)(ended - began));
        }
        printf("\n");
        fflush(stdout);
    }
    return 0;
}
