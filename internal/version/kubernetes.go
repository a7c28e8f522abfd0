package version

// OldestMinor and NewestMinor are the minor versions of Kubernetes 1 that an image can
// hold: the agent writes kubeadm's v1beta4, which kubeadm has since 1.31.
const OldestMinor, NewestMinor = 31, 37
