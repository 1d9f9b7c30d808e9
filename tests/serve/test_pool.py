import asyncio
import threading

import pytest

from icnet.serve.errors import Overloaded
from icnet.serve.metrics import Metrics
from icnet.serve.pool import Pool


def gauge(metrics, name):
    return metrics.registry.get_sample_value(name)


def test_what_does_not_fit_is_refused_at_once_and_the_rest_is_done_in_order():
    async def main():
        metrics, go, order = Metrics(), threading.Event(), []
        pool = Pool(1, 2, metrics)

        def work(number):
            go.wait(10)
            order.append(number)
            return number

        running = [asyncio.create_task(pool.run(lambda number=number: work(number))) for number in range(3)]
        await asyncio.sleep(0)
        assert (gauge(metrics, "icnet_workers_busy"), gauge(metrics, "icnet_queue_length")) == (1, 2)
        with pytest.raises(Overloaded) as refusal:
            pool.check()
        assert refusal.value.retry_after_s
        with pytest.raises(Overloaded):
            await asyncio.wait_for(pool.run(lambda: work(3)), 0.5)
        go.set()
        assert await asyncio.gather(*running) == order == [0, 1, 2]
        await asyncio.sleep(0.05)
        pool.check()
        assert (gauge(metrics, "icnet_workers_busy"), gauge(metrics, "icnet_queue_length")) == (0, 0)
        assert gauge(metrics, "icnet_stage_seconds_count") is None
        assert metrics.registry.get_sample_value("icnet_stage_seconds_count", {"stage": "queue"}) == 3
        pool.close()

    asyncio.run(main())


def test_slow_preparations_leave_the_workers_to_others():
    async def main():
        pool, go = Pool(2, 4, Metrics()), threading.Event()

        slow = [asyncio.create_task(pool.run_prepared(lambda: go.wait(10), lambda _: "slow")) for _ in range(3)]
        await asyncio.sleep(0)
        assert await asyncio.wait_for(pool.run(lambda: "plain"), 5) == "plain"
        assert await asyncio.wait_for(pool.run_prepared(lambda: 7, lambda number: number + 1), 5) == 8
        go.set()
        assert await asyncio.gather(*slow) == ["slow"] * 3
        with pytest.raises(ZeroDivisionError):
            await pool.run_prepared(lambda: 1 // 0, str)
        pool.close()

    asyncio.run(main())


def test_an_error_is_the_callers_and_frees_its_place():
    async def main():
        pool = Pool(1, 0, Metrics())
        with pytest.raises(ZeroDivisionError):
            await pool.run(lambda: 1 // 0)
        await asyncio.sleep(0.05)
        assert await pool.run(lambda: 7) == 7
        pool.close()

    asyncio.run(main())


def test_work_whose_client_is_gone_keeps_its_place_while_it_runs():
    async def main():
        pool, go = Pool(1, 0, Metrics()), threading.Event()
        task = asyncio.create_task(pool.run(lambda: go.wait(10)))
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.sleep(0.05)
        with pytest.raises(Overloaded):
            pool.check()
        go.set()
        await asyncio.sleep(0.05)
        pool.check()
        pool.close()

    asyncio.run(main())
