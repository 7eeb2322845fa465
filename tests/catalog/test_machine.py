import os

import pytest

from plinth.catalog.machine import available_cpu, available_memory, local_offer

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
INSTALLED = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
MIB = 2**20


@pytest.fixture
def write(tmp_path):
    def write_file(path: str, content: str) -> None:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)

    return write_file


def test_without_control_groups_the_whole_machine_is_available(tmp_path):
    assert available_cpu(tmp_path) == CORES
    assert available_memory(tmp_path) == INSTALLED


def test_limits_of_version_2_are_read(tmp_path, write):
    write("proc/self/cgroup", "0::/user/job\n")
    write("sys/fs/cgroup/user/job/cpu.max", "50000 100000\n")
    write("sys/fs/cgroup/user/job/memory.max", f"{64 * MIB}\n")
    assert available_cpu(tmp_path) == 0.5
    assert available_memory(tmp_path) == 64 * MIB


def test_a_limit_above_the_own_group_binds_too(tmp_path, write):
    write("proc/self/cgroup", "0::/user/job\n")
    write("sys/fs/cgroup/user/cpu.max", "25000 100000\n")
    write("sys/fs/cgroup/user/job/cpu.max", "max 100000\n")
    write("sys/fs/cgroup/user/memory.max", f"{32 * MIB}\n")
    write("sys/fs/cgroup/user/job/memory.max", "max\n")
    assert available_cpu(tmp_path) == 0.25
    assert available_memory(tmp_path) == 32 * MIB


def test_limits_of_version_1_are_read(tmp_path, write):
    write("proc/self/cgroup", "4:memory:/box\n3:cpuacct,cpu:/box\n0::/\n")
    write("sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "10000\n")
    write("sys/fs/cgroup/cpu/box/cpu.cfs_period_us", "100000\n")
    write("sys/fs/cgroup/memory/box/memory.limit_in_bytes", f"{16 * MIB}\n")
    assert available_cpu(tmp_path) == 0.1
    assert available_memory(tmp_path) == 16 * MIB


def test_no_quota_in_version_1_is_no_limit(tmp_path, write):
    write("proc/self/cgroup", "4:memory:/\n3:cpu:/\n")
    write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n")
    write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
    write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
    assert available_cpu(tmp_path) == CORES
    assert available_memory(tmp_path) == INSTALLED


def test_in_a_container_whose_path_is_not_mounted_the_topmost_group_counts(tmp_path, write):
    write("proc/self/cgroup", "0::/docker/abc\n")
    write("sys/fs/cgroup/memory.max", f"{8 * MIB}\n")
    assert available_memory(tmp_path) == 8 * MIB


@pytest.mark.parametrize("content", ["", "nonsense\n", "0::/../../etc\n", "::\n\n", "0:\n"])
def test_files_that_make_no_sense_are_no_limit(tmp_path, write, content):
    write("proc/self/cgroup", content)
    write("sys/fs/cgroup/cpu.max", "a b c\n")
    assert available_cpu(tmp_path) == CORES
    assert available_memory(tmp_path) == INSTALLED


def test_this_machine_is_one_offer_without_a_price():
    offer = local_offer()
    assert (offer.sku, offer.region, offer.count) == ("machine", "local", 1)
    assert offer.price_per_hour is None
    assert 0 < offer.cpu <= CORES
    assert 0 < offer.memory <= INSTALLED
