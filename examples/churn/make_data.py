"""Write `customers.csv`: made-up customers of a shop, and whether each has left.

    python make_data.py [CUSTOMERS] > customers.csv

Only the standard library, and the same bytes each time, so that the digest of the data is too.
"""

from __future__ import annotations

import math
import random
import sys


def main(customers: int) -> None:
    """Print the table; about one customer of five has left."""
    rng = random.Random(13)
    print("months,orders,complaints,price_rise,left")
    for _ in range(customers):
        months = rng.randint(1, 60)
        orders = rng.randint(0, 30)
        complaints = min(9, int(rng.expovariate(1.2)))
        price_rise = rng.choice((0, 0, 0, 5, 10, 15))
        tendency = 0.9 * complaints + 0.08 * price_rise - 0.12 * orders - 0.02 * months - 0.3
        left = rng.random() < 1 / (1 + math.exp(-tendency))
        print(f"{months},{orders},{complaints},{price_rise},{int(left)}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
