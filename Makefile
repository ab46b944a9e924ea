# make demo   the whole gateway on this machine, no hardware and no configuration (ARGS=--once: a short run that checks itself)
# make test   every test
# Both install what is missing from Debian's packages first, and say so.
ARGS ?=
SWIFT ?= swift
PREFIX ?= /usr/local

.PHONY: all demo test test-gpio test-powercut bench release install format clean

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

# The power of a gateway under load cut at random moments (CUTS=50), in a virtual machine whose disk forgets what was not
# flushed.
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

install: release
	install -Dm755 .build-release/tidegate $(DESTDIR)$(PREFIX)/bin/tidegate
	install -Dm644 systemd/tidegate.service $(DESTDIR)/lib/systemd/system/tidegate.service
	install -Dm644 systemd/tidegate.sysusers $(DESTDIR)/usr/lib/sysusers.d/tidegate.conf
	install -Dm644 udev/60-tidegate.rules $(DESTDIR)/lib/udev/rules.d/60-tidegate.rules
	[ -e $(DESTDIR)/etc/tidegate/tidegate.toml ] || install -Dm644 tidegate.sample.toml $(DESTDIR)/etc/tidegate/tidegate.toml

format:
	$(SWIFT) format --in-place --recursive Package.swift Sources Tests Benchmarks

clean:
	rm -rf .build .build-release
