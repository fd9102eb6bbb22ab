"""What many services do: documents to text and back, in C code that allocates objects."""
import json
import sys

for _ in range(int(sys.argv[1])):
    document = {"items": [{"id": i, "name": "item %d" % i, "tags": ["a", "b", str(i)], "score": i / 7}
                          for i in range(2000)]}
    if json.loads(json.dumps(document)) != document:
        sys.exit("json does not give back what it got")
