"""The example of the event log's documentation: eight strings of 1 MiB are made, kept, and dropped one by one."""


def create_string(length: int) -> str:
    return ' ' * length


strings = []
for _ in range(8):
    strings.append(create_string(1024**2))
while len(strings):
    strings.pop()
