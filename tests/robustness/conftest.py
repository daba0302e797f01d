"""Small factorisations: several BLAS threads on shared cores wait for one another far longer than they work."""

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True, scope="package")
def one_thread_for_blas():
    with threadpool_limits(1, user_api="blas"):
        yield
