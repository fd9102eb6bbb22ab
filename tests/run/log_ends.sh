#!/bin/sh
# Ragged ends, as a kill leaves them: read up to the last whole row, and said so.
. "$TEST_SRC/run/common"
make_log whole.log <<'END'
NEXT 0 0 0.1 CALL a.py 1 f 4096 4096
NEXT 1 1 0.2 CALL a.py 1 f 8192 4096
END
size=$(wc -c <whole.log)
end() { pmt log --json "$1" | grep -o '"rows[^}]*}\|"cut_bytes.*"lost'; echo "-> $1"; }
end whole.log
for cut in 1 2 20 100 193 194; do
    head -c $((size - cut)) whole.log >cut_$cut.log
    end cut_$cut.log
done
head -c 5000 /dev/zero >nul
cat whole.log nul >nuls.log
end nuls.log
cat cut_20.log nul >cut_and_nuls.log
end cut_and_nuls.log
pmt log cut_and_nuls.log | grep ^end
head -c 195 whole.log >header.log
try pmt log header.log
