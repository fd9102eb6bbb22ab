#!/bin/sh
# Programs that the preload cannot enter, or not wholly: one line says so, and they run with their own status.
. "$TEST_SRC/run/common"
make_program static 'int main(void) { return 7; }' -static
try pmt-exec --summary off ./static
make_program static-pie 'int main(void) { return 7; }' -static-pie
try pmt-exec --summary off ./static-pie
try pmt-exec -q ./static
try env PMT_ENABLE=0 pmt-exec --summary off ./static
make_program own '#pragma GCC visibility push(hidden)
void *malloc(unsigned long n); static char pool[1 << 20], *at = pool;
void *malloc(unsigned long n) { char *p = at; at += (n + 15) & ~15ul; return p; }
void free(void *p) { (void)p; }
int main(void) { return malloc(1) == pool + 1; }' -fno-builtin -O1
try pmt-exec --summary off ./own
# exported to the whole process, it is seen, and said, by the library itself
make_program own 'void *malloc(unsigned long n); static char pool[1 << 20], *at = pool;
void *malloc(unsigned long n) { char *p = at; at += (n + 15) & ~15ul; return p; }
void free(void *p) { (void)p; }
int main(void) { return malloc(1) == pool + 1; }' -fno-builtin -rdynamic
try pmt doctor --preflight -- ./own
pmt doctor -- ./own | sed -n '/^command/,$p'
pmt-exec --summary off ./own 2>&1 | grep -c '^pmt: .*malloc'
printf '#!%s/static\n' "$PWD" >by-static
chmod 755 by-static
try pmt-exec --summary off ./by-static
printf '#!/no/such/interpreter\n' >by-nobody
chmod 755 by-nobody
try pmt-exec --summary off ./by-nobody
printf '#!/usr/bin/env -i /bin/sh\nexit 9\n' >cleared
chmod 755 cleared
/usr/bin/env -S true 2>/dev/null || skip "env without -S"
sed -i '1s/env -i/env -S -i/' cleared
try pmt-exec --summary off ./cleared
