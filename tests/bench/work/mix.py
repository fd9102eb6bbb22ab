"""A realistic mix: classes, dicts, strings, sorting, regular expressions, generators and exceptions."""
import collections
import re
import sys


class Account:
    def __init__(self, name):
        self.name, self.balance, self.history = name, 0, []

    def book(self, amount):
        if self.balance + amount < -50:
            raise ValueError("no credit")
        self.balance += amount
        self.history.append(amount)


def amounts(count):
    value = 12345
    for _ in range(count):
        value = (value * 1103515245 + 12345) % 2147483648
        yield value % 201 - 100


def run(count):
    accounts = [Account("account %d" % i) for i in range(50)]
    refused = collections.Counter()
    for i, amount in enumerate(amounts(count)):
        account = accounts[i % len(accounts)]
        try:
            account.book(amount)
        except ValueError:
            refused[account.name] += 1
    lines = ["%s: %d (%d refused)" % (a.name, a.balance, refused[a.name]) for a in accounts]
    numbers = [int(n) for line in lines for n in re.findall(r"-?\d+", line)]
    return sorted(numbers), sorted(accounts, key=lambda account: account.balance)[0].name


for _ in range(int(sys.argv[1])):
    run(5000)
