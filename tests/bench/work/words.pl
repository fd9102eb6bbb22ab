# Strings, hashes and sorting in Perl: a real program that allocates all the time and knows nothing of Python.
use strict;
use warnings;
my ($rounds) = @ARGV;
for my $round (1 .. $rounds) {
    my (%count, $value);
    $value = $round;
    for (1 .. 40000) {
        $value = ($value * 1103515245 + 12345) % 2147483648;
        $count{ "word" . $value % 5000 } .= chr(97 + $value % 26);
    }
    my @sorted = sort { length $count{$b} <=> length $count{$a} || $a cmp $b } keys %count;
    die "nothing counted" unless @sorted > 1000;
}
