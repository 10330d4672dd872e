"""The operator's side of AWS, put together: see `ports.installer`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event

from flowrunner.adapters.aws.assembly import Assembly
from flowrunner.adapters.aws.assets import Publisher
from flowrunner.adapters.aws.cloud import Cloud
from flowrunner.adapters.aws.deployment import Deployment
from flowrunner.adapters.aws.stacks import Stacks
from flowrunner.adapters.aws.teardown import Teardown, deployed
from flowrunner.adapters.aws.toolkit import VERSION, bootstrap, bootstrapped
from flowrunner.adapters.aws.website import publish_website
from flowrunner.errors import ConfigurationError
from flowrunner.ports.clock import Draws
from flowrunner.ports.installer import Found, Happening, Place, Undertaking


class AwsInstaller:
    """See `ports.installer.Installer`. `tell` hears what happens to resources, `say` what is done."""

    def __init__(
        self,
        cloud: Cloud,
        draws: Draws,
        tell: Callable[[Happening], None],
        say: Callable[[str], None],
        *,
        role: str = "",
        wait: Callable[[float], object] | None = None,
    ) -> None:
        """`role`: what CloudFormation acts as; `wait`: lets so many seconds pass."""
        self._cloud = cloud
        self._draws = draws
        self._say = say
        self._wait = wait or Event().wait
        self._stacks = Stacks(cloud.cloudformation(), tell, self._wait, role)

    @property
    def identity(self) -> str:
        return self._cloud.identity

    @property
    def place(self) -> Place:
        return self._cloud.place

    def prepared(self) -> bool:
        version = bootstrapped(self._cloud.ssm())
        if 0 < version < VERSION:
            raise ConfigurationError(
                f"the CDK's bootstrap of account {self.place.account}, {self.place.region}, is version {version}",
                hint="run `cdk bootstrap`",
            )
        return version > 0

    def prepare(self) -> None:
        bootstrap(self._stacks)

    def open(self, folder: Path) -> Undertaking:
        s3 = self._cloud.s3()
        publisher = Publisher(s3, self.place.account, self._say)
        # Change sets that were executed keep their names, and one call may deploy twice.
        label = f"flowrunner-{self._draws.new_id()}"
        return Deployment(Assembly.read(folder, self.place), self._stacks, self._cloud, publisher, label, self._say)

    def deployed(self, name: str, stage: str) -> Sequence[Found]:
        return deployed(self._stacks, name, stage)

    def publish(self, folder: Path, bucket: str, distribution: str, docs: Path | None = None) -> None:
        label = f"flowrunner-{self._draws.new_id()}"
        publish_website(self._cloud, folder, bucket, distribution, label, self._say, docs)

    def destroy(self, stacks: Sequence[Found], *, with_data: bool) -> None:
        Teardown(self._cloud, self._stacks, self._say, self._wait).destroy(stacks, with_data=with_data)
