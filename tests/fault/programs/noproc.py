"""Works where /proc may be missing."""
import witness

held = []
for i in range(2000):
    witness.step()
    held.append(bytearray(5000))
print(len(held))
