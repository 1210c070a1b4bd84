"""What the configuration makes of a container's memory and CPUs."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.postgres import config
from appliance.system import limits
from appliance.system.limits import MEBIBYTE, ResourceLimits


def sizes(memory_mib: int, cpus: int = 2) -> config.Sizes:
    return config.sizes(ResourceLimits(memory_bytes=memory_mib * MEBIBYTE, cpus=cpus))


@pytest.mark.parametrize(
    ("memory_mib", "shared_buffers", "work_mem", "maintenance_work_mem", "max_connections"),
    [
        (256, 32, 2, 16, 60),
        (512, 64, 4, 32, 60),
        (1024, 256, 8, 64, 200),
        (8192, 512, 32, 512, 200),
    ],
)
def test_the_memory_is_shared_out(
    memory_mib: int,
    shared_buffers: int,
    work_mem: int,
    maintenance_work_mem: int,
    max_connections: int,
) -> None:
    size = sizes(memory_mib)
    assert size.shared_buffers == shared_buffers
    assert size.work_mem == work_mem
    assert size.maintenance_work_mem == maintenance_work_mem
    assert size.max_connections == max_connections


@given(st.integers(64, 1 << 20), st.integers(1, 256))
def test_any_container_gets_settings_that_leave_room(memory_mib: int, cpus: int) -> None:
    size = sizes(memory_mib, cpus)
    assert 16 <= size.shared_buffers <= max(16, memory_mib // 4)
    assert 1 <= size.workers <= min(cpus, 4)
    assert size.max_wal_size <= 512, "crash recovery must stay short"
    assert size.shared_buffers + size.maintenance_work_mem <= max(64, memory_mib // 2)


@pytest.mark.parametrize(
    ("memory_mib", "cpus", "workers", "connections"),
    [
        (256, 16, 1, 60),
        (768, 16, 3, 76),
        (1024, 16, 4, 200),
        (8192, 8, 8, 200),
        (8192, 16, 16, 328),
        (65536, 16, 16, 328),
        (1 << 20, 256, 64, 1096),
    ],
)
def test_workers_grow_with_the_cpus_as_far_as_the_memory_goes(
    memory_mib: int, cpus: int, workers: int, connections: int
) -> None:
    assert ResourceLimits(memory_mib * MEBIBYTE, cpus).api_workers == workers
    assert sizes(memory_mib, cpus).max_connections == connections


@given(st.integers(64, 1 << 20), st.integers(1, 1024))
def test_the_apis_of_two_containers_and_some_others_find_a_connection(
    memory_mib: int, cpus: int
) -> None:
    workers = ResourceLimits(memory_mib * MEBIBYTE, cpus).api_workers
    assert sizes(memory_mib, cpus).max_connections - 2 * workers * config.API_CONNECTIONS >= 28


@given(st.integers(64, 1 << 16), st.integers(64, 1 << 16))
def test_more_memory_never_means_smaller_settings(one: int, other: int) -> None:
    smaller, larger = sizes(min(one, other)), sizes(max(one, other))
    assert all(a <= b for a, b in zip(vars(smaller).values(), vars(larger).values(), strict=True))


def cgroup(folder: Path, **files: str) -> Path:
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(exist_ok=True)
        path.write_text(content + "\n")
    return folder


def test_the_limits_of_cgroup_version_2_count(tmp_path: Path) -> None:
    cgroup_limits = cgroup(tmp_path, memory_DOT_max=str(256 * MEBIBYTE), cpu_DOT_max="50000 100000")
    assert limits.detect(cgroup=cgroup_limits) == ResourceLimits(256 * MEBIBYTE, 1)


def test_the_limits_of_cgroup_version_1_count(tmp_path: Path) -> None:
    cgroup_limits = cgroup(
        tmp_path,
        memory__memory_DOT_limit_in_bytes=str(512 * MEBIBYTE),
        cpu__cpu_DOT_cfs_quota_us="100000",
        cpu__cpu_DOT_cfs_period_us="100000",
    )
    assert limits.detect(cgroup=cgroup_limits) == ResourceLimits(512 * MEBIBYTE, 1)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"memory_DOT_max": "max", "cpu_DOT_max": "max 100000"},
        {
            "memory__memory_DOT_limit_in_bytes": "9223372036854771712",
            "cpu__cpu_DOT_cfs_quota_us": "-1",
            "cpu__cpu_DOT_cfs_period_us": "100000",
        },
    ],
)
def test_without_limits_the_machine_counts(tmp_path: Path, files: dict[str, str]) -> None:
    machine = limits.detect(cgroup=Path("/nowhere"))
    assert machine.memory_bytes > 64 * MEBIBYTE
    assert limits.detect(cgroup=cgroup(tmp_path, **files)) == machine


def test_the_platforms_cpu_limit_counts_if_it_is_the_smallest(tmp_path: Path) -> None:
    assert limits.detect(cpu_limit=1, cgroup=tmp_path).cpus == 1
    assert limits.detect(cpu_limit=1000, cgroup=tmp_path) == limits.detect(cgroup=tmp_path)


def test_a_part_of_a_cpu_counts_as_one(tmp_path: Path) -> None:
    assert limits.detect(cgroup=cgroup(tmp_path, cpu_DOT_max="100 100000")).cpus == 1
