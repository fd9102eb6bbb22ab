len("first line")


def called(text):
    return text.upper()


print(called("output"))
