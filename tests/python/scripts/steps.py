"""Some 6,000 events with nothing of note in them: the RSS they are given comes from a file."""


def step(number):
    return abs(number)


for number in range(1500):
    step(number)
