# make demo   the whole gateway on this machine, no hardware and no configuration (ARGS=--once: a short run that checks
#             itself)
# make test   every test
# Both install what is missing from Debian's packages first, and say so.
ARGS ?=
SWIFT ?= swift
PREFIX ?= /usr/local

.PHONY: all demo test test-gpio test-powercut bench release install install-files deb deb-native test-arm format clean

all:
	.ci/dependencies build
	$(SWIFT) build --product tidegate

demo: all
	$$($(SWIFT) build --show-bin-path)/tidegate demo $(ARGS)

test:
	.ci/dependencies test
	$(SWIFT) build --build-tests
	# One after the other: many of them block a thread on a socket or a process, and there are only as many as cores.
	$(SWIFT) test --skip-build --no-parallel

# The GPIO driver against the kernel's own gpio-sim, in a throw-away virtual machine.
test-gpio:
	Tests/VM/test-gpio

# The power of a gateway under load cut at random moments (CUTS=50), in a virtual machine whose disk forgets what was
# not flushed.
CUTS ?= 50
test-powercut:
	Tests/VM/test-powercut $(CUTS)

bench:
	.ci/dependencies test
	Benchmarks/run

# The binary that is installed: small, with the Swift runtime inside.
release:
	.ci/dependencies build
	.ci/check-size
	packaging/documents .build-release/documents .build-release/tidegate

# systemd-sysusers makes the service's user, then. The unit and the rules lie where Debian's are, whatever the prefix.
install: release
	$(MAKE) install-files
	install -Dm644 -t $(DESTDIR)/usr/lib/systemd/system systemd/*.service
	sed -i 's,=/usr/bin/,=$(PREFIX)/bin/,' $(DESTDIR)/usr/lib/systemd/system/tidegate*.service
	install -Dm644 systemd/tidegate.sysusers $(DESTDIR)/usr/lib/sysusers.d/tidegate.conf
	install -Dm644 udev/60-tidegate.rules $(DESTDIR)/usr/lib/udev/rules.d/60-tidegate.rules

# What a package puts in place in the same way; it brings the rest by debian/.
BINARY ?= .build-release/tidegate
DOCUMENTS ?= .build-release/documents
ZSH ?= $(PREFIX)/share/zsh/site-functions
install-files:
	install -Dm755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/tidegate
	install -Dm644 -t $(DESTDIR)$(PREFIX)/share/man/man1 $(DOCUMENTS)/*.1
	install -Dm644 -t $(DESTDIR)$(PREFIX)/share/man/man5 $(DOCUMENTS)/*.5
	install -Dm644 $(DOCUMENTS)/tidegate.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/tidegate
	install -Dm644 $(DOCUMENTS)/_tidegate $(DESTDIR)$(ZSH)/_tidegate
	install -Dm644 $(DOCUMENTS)/tidegate.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/tidegate.fish
	install -Dm644 tidegate.sample.toml $(DESTDIR)$(PREFIX)/share/doc/tidegate/examples/tidegate.toml

# Packages for arm64 and amd64, from Debian's packages alone: .build-deb/tidegate_VERSION_ARCHITECTURE.deb
# (SUITE=bookworm: for Debian 12; ARCHITECTURES=arm64: only that). Needs root, since it works in root folders of its
# own.
deb:
	.ci/dependencies deb
	packaging/deb

# The arm64 package on an emulated board: installed, its first boot, at work, upgraded, its power cut, purged. Five
# minutes, but eleven the first time, and what `make deb` takes. Needs root, as that does.
test-arm:
	.ci/dependencies arm
	ARCHITECTURES=arm64 SUITE=trixie packaging/deb
	Tests/VM/test-arm .build-deb/tidegate_$$(packaging/version)_arm64.deb

# A package for this very machine, compiled with the swift on PATH.
deb-native:
	.ci/dependencies native
	packaging/native

format:
	$(SWIFT) format --in-place --recursive Package.swift Sources Tests Benchmarks

clean:
	rm -rf .build .build-release
