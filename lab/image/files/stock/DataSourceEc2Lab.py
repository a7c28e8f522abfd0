"""cloud-init's own source for EC2, told where it is.

It recognizes EC2 by the system's UUID in DMI, which a container has not got.
"""

from cloudinit import sources
from cloudinit.sources import DataSourceEc2 as ec2


class DataSourceEc2Lab(ec2.DataSourceEc2):
    def _get_cloud_name(self):
        return ec2.CloudNames.AWS


datasources = [
    (DataSourceEc2Lab, (sources.DEP_FILESYSTEM, sources.DEP_NETWORK)),
]


def get_datasource_list(depends):
    return sources.list_from_depends(depends, datasources)
