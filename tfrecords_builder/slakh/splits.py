"""The published splits of Slakh2100, by track number, and the songs that are in several splits.

The numbers are facts from github.com/ethman/slakh-utils (MIT, Ethan Manilow), its folder ``splits``. In the original
split 57 of the 225 test tracks have the MIDI of a train track; split2 moves tracks until no MIDI file is in two splits,
redux omits all but one track of a MIDI file.
"""

from __future__ import annotations

import collections
import itertools
import re
from collections.abc import Iterable
from typing import Protocol

from mir_tf.config import SPLITS
from mir_tf.errors import DataError

SCHEMES = ("folder", "original", "split2", "redux")
"""``folder`` is the folder that a track is in; the other schemes are published."""

OMITTED = "omitted"
"""Name of the excluded tracks in the redux scheme, and of their folder in its release."""

_LAST = {"train": 1500, "validation": 1875, "test": 2100}
"""Last track number of each split of the scheme original."""


def _numbers(text: str) -> frozenset[int]:
    """Return the numbers in a text of numbers and ranges, such as ``1 3-5``."""
    ranges = (item.partition("-") for item in text.split())
    return frozenset(itertools.chain.from_iterable(range(int(a), int(b or a) + 1) for a, _, b in ranges))


_OMITTED_BY_REDUX = _numbers(
    """
    49 77 146 170 212 232 240 251 256 280 296 299 350 356 365-366 386 401 422 424-425 450 470 476 486 495 504 521
    536 539 554 566 602 611 613 620 623 640 642 646-647 675 678 688 697 699 706 714-715 719-720 732 744 750 757 762
    764 773 790 796 800 810 820-821 829 833 847-848 851 862 877 884 895 899 916 919 925 933-935 942 956 960-962 964
    969 981-982 990 997 1000 1011 1020 1028 1046 1052 1061 1066-1068 1071 1079 1081 1087 1090 1093 1099 1109 1111
    1116-1117 1120 1129-1130 1132-1133 1137 1139-1140 1143-1144 1147 1152 1156 1162 1169 1171 1176 1179-1180 1182
    1186-1187 1189 1191 1200 1207 1209-1210 1219-1220 1227 1230 1233 1235 1239-1240 1248 1256 1261 1282-1283 1289
    1291-1292 1294-1295 1299 1304-1306 1308 1312 1316-1317 1319 1325-1326 1329 1338 1344-1345 1348 1352 1357
    1371-1372 1378 1391 1400 1402 1407 1410 1412 1416-1417 1423-1424 1429 1435-1436 1438 1441-1442 1444-1447 1450
    1455 1467 1469-1470 1472 1478 1484 1490 1493 1498-1499 1506 1534-1536 1538 1541 1543-1544 1547 1549-1550 1553
    1555 1562 1567 1569 1572 1577 1585 1587 1593 1596 1600-1601 1603 1608-1610 1617 1627 1633 1636-1638 1640 1648
    1651 1658 1663 1667-1669 1671 1673 1680 1682-1684 1686-1687 1699 1704 1711-1712 1721-1722 1726 1728-1729 1734
    1736 1740 1748 1752 1755 1759 1764-1765 1767 1780 1784 1786 1794 1798 1800-1801 1808 1810-1811 1816-1818 1822
    1829 1831-1834 1839 1842 1844 1846-1847 1850 1853-1854 1857 1859 1862-1864 1866 1868 1871-1872 1879 1885 1890
    1894 1909-1910 1912 1914-1915 1919 1921-1924 1926 1933 1938-1939 1941-1942 1944 1946 1953 1958 1964 1966
    1969-1971 1979 1983-1984 1988 1991-1992 1999 2006 2009 2011-2012 2015 2021-2022 2025 2027-2028 2033-2035 2039
    2041 2043 2055 2057-2060 2065-2066 2068 2071-2073 2075-2078 2080 2085 2089 2091 2097 2099-2100
    """
)
"""Tracks with the same MIDI as another track."""

_MOVED_BY_SPLIT2 = {
    "train": _numbers(
        """
        1506 1534-1536 1538 1541 1543-1544 1547 1549-1550 1555 1562 1567 1569 1572 1585 1587 1593 1596 1600-1601
        1603 1609-1610 1617 1627 1633 1636-1638 1640 1651 1663 1667-1669 1671 1673 1680 1682-1684 1686-1687 1699
        1704 1711-1712 1721-1722 1726 1728-1729 1734 1736 1740 1752 1755 1759 1764 1780 1784 1786 1798 1800-1801
        1808 1810-1811 1816-1818 1822 1829 1831-1834 1839 1842 1846-1847 1850 1853-1854 1857 1859 1862-1864 1866
        1871-1872 1879 1885 1894 1909 1914-1915 1919 1921-1922 1926 1938-1939 1942 1944 1946 1953 1958 1964 1969
        1971 1979 1983-1984 1988 1992 1999 2006 2009 2011 2021 2025 2027-2028 2033-2035 2039 2043 2055 2057-2058
        2060 2065-2066 2068 2073 2075-2078 2080 2085 2089 2091 2097 2099-2100
        """
    ),
    "validation": _numbers(
        """
        26 113 121 135 193 201 205 216 221 224 227 238 285-286 288 294 319 329 343 349 370 380-381 388 404 409-410
        428 430 441 464 467 483 513 560 572 603 652 654 668 682 684 686 707 712 722 770 804 849 860 868 885 902 922
        936 941 943 972 984-985 1013 1015 1033-1034 1038 1045 1051 1055 1080 1083 1096 1122 1153 1173-1174 1202 1216
        1228 1252 1258 1269 1274 1298 1303 1314 1331 1340 1356 1361 1397 1401 1433 1448 1486 1890 1910 1912
        1923-1924 1941 1966 1970 2012 2015 2022 2041 2072
        """
    ),
    "test": _numbers(
        """
        3 66 73-74 235 244 271 339 357 372 403 426 429 583 591 595 604 622 638 702 710 718 752 818 838 855 888-889
        973 983 1005 1016 1024 1032 1060 1072 1075 1128 1192 1222-1223 1229 1243 1249 1263 1270 1272 1296 1309 1318
        1370 1380 1388 1393 1440 1480 1491 1510 1554 1582 1606 1645 1675 1685 1691 1745 1785 1806 1821 1856
        """
    ),
}
"""Split → tracks that split2 moves there from another split."""


class Placed(Protocol):
    """Interface of an item with a name, a song and a split."""

    @property
    def id(self) -> str:
        """Its name."""

    @property
    def song(self) -> str:
        """The song that it is a rendering of."""

    @property
    def split(self) -> str:
        """train, validation or test."""


def published_split(track: str, scheme: str) -> str:
    """Return the split of a track of Slakh2100, or :data:`OMITTED` if the scheme omits it.

    Args:
        track: Its name, ``Track00001`` to ``Track02100``.
        scheme: original, split2 or redux.

    Raises:
        DataError: Slakh2100 has no such track.
    """
    match = re.fullmatch(r"Track(\d{5})", track)
    number = int(match[1]) if match else 0
    if not 1 <= number <= _LAST["test"]:
        raise DataError(f"{track}: not a track of Slakh2100 (Track00001 to Track02100); use --split-scheme folder")
    if scheme == "redux" and number in _OMITTED_BY_REDUX:
        return OMITTED
    if scheme == "split2":
        for split, numbers in _MOVED_BY_SPLIT2.items():
            if number in numbers:
                return split
    return next(split for split, last in _LAST.items() if number <= last)


def find_leaks(items: Iterable[Placed]) -> dict[str, dict[str, list[str]]]:
    """Return the songs that are in more than one split.

    Returns:
        Pair of splits, such as ``train, test`` → song → the names of its items in either split, sorted. Pairs without
        such songs are missing.
    """
    members: dict[str, dict[str, list[str]]] = collections.defaultdict(dict)
    for item in items:
        members[item.song].setdefault(item.split, []).append(item.id)
    leaks: dict[str, dict[str, list[str]]] = {}
    for pair in itertools.combinations(SPLITS, 2):
        for song in sorted(members):
            if all(split in members[song] for split in pair):
                own = sorted(itertools.chain.from_iterable(members[song][split] for split in pair))
                leaks.setdefault(", ".join(pair), {})[song] = own
    return leaks
