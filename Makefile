# SPDX-License-Identifier: GPL-2.0-or-later
# make: build/qubesfs.  make SAN=asan | SAN=tsan: the same with sanitizers below build/asan, build/tsan.
# make help: everything else.
VERSION  := 0.1
PACKAGES := fuse3 libvirt libvirt-qemu libxml-2.0 libcrypto libgcrypt libisal libdeflate libzstd liblzma libudev

OUT ?= build
SAN ?=
B   := $(OUT)$(if $(SAN),/$(SAN))

SAN_asan := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
SAN_tsan := -fsanitize=thread -fno-omit-frame-pointer
# the code under test of a fuzz target; the target itself gets libFuzzer's main() when it is linked
SAN_fuzz := $(SAN_asan) -fsanitize=fuzzer-no-link

PREFIX  ?= /usr/local
DESTDIR ?=
SBINDIR ?= $(PREFIX)/sbin
MANDIR  ?= $(PREFIX)/share/man
UNITDIR ?= $(PREFIX)/lib/systemd/system

JOBS         ?= $(shell nproc)
FUZZ_SECONDS ?= 30

PKG_CFLAGS := $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
PKG_LIBS   := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null)
# bzip2 is the one without a file for pkg-config
LIBS       := $(PKG_LIBS) -lbz2

ifeq ($(PKG_LIBS),)
ifneq ($(filter-out demo demo-stop test test-xen bench fuzz uninstall format clean help,$(or $(MAKECMDGOALS),all)),)
$(error pkg-config does not find $(PACKAGES); on Debian: tests/lib/packages.sh build)
endif
endif

CFLAGS   ?= -O2 -g
WARNINGS := -Wall -Wextra -Wshadow -Wvla -Werror -Wstrict-prototypes -Wmissing-prototypes
CPPFLAGS += -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DQUBESFS_VERSION='"$(VERSION)"' -Iinclude
ALL_CFLAGS := -std=gnu11 $(WARNINGS) $(CFLAGS) $(SAN_$(SAN)) $(PKG_CFLAGS) -pthread -MMD -MP
# All functions are found at the start: who finds one at its first call puts the vector registers on the
# stack meanwhile, and pieces of keys with them.
ALL_LDFLAGS := $(LDFLAGS) -Wl,-z,relro,-z,now $(SAN_$(SAN)) -pthread

BACKEND_SOURCES := $(wildcard backend/*/*.c)
FS_SOURCES      := $(wildcard fs/*.c)
BACKEND_OBJECTS := $(BACKEND_SOURCES:%.c=$(B)/%.o)
FS_OBJECTS      := $(FS_SOURCES:%.c=$(B)/%.o)
UNIT_TESTS      := $(patsubst %.c,$(B)/%,$(wildcard tests/unit/test_*.c))
FUZZ_TARGETS    := $(patsubst %.c,$(B)/%,$(wildcard tests/fuzz/fuzz_*.c))
TEMPLATES       := $(wildcard backend/hypervisor/templates/*.xml)

all: $(B)/qubesfs

$(B)/qubesfs: $(FS_OBJECTS) $(B)/libbackend.a
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(B)/libbackend.a: $(BACKEND_OBJECTS)
	rm -f $@ && $(AR) rcs $@ $^

$(B)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -c -o $@ $<

# domain definition templates are built in; .incbin does not show up in -MMD
$(B)/backend/hypervisor/templates.o: $(TEMPLATES)

# unit tests may look behind a room's header: they are built with -Ibackend
unit-tests: $(UNIT_TESTS)

$(B)/tests/unit/%: tests/unit/%.c $(B)/libbackend.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -Ibackend -Ifs $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $< $(B)/libbackend.a -lcmocka $(LIBS)

# calls that tests/unit/faults.h lets fail
FAULTS := malloc calloc realloc reallocarray strdup strndup asprintf vasprintf mmap64 pthread_create open64 \
	openat64 fopen64 pread64
$(B)/tests/unit/test_backup_faults: ALL_LDFLAGS += $(FAULTS:%=-Wl,--wrap=%)

# what a program that is linked with libbackend.a needs, for scripts that build one
libs:
	@echo $(PKG_CFLAGS) $(LIBS)

fuzz-targets: $(FUZZ_TARGETS)

$(B)/tests/fuzz/%: tests/fuzz/%.c $(B)/libbackend.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -Ibackend -Ifs $(ALL_CFLAGS) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $< $(B)/libbackend.a $(LIBS)

# The targets below install the Debian packages that they need (nothing when all are there), then
# call make again: only then does pkg-config know the libraries.

demo:
	@tests/lib/packages.sh build demo
	@+$(MAKE) --no-print-directory -j$(JOBS) all SAN=
	@tests/demo/demo.sh start $(OUT)

demo-stop:
	@tests/demo/demo.sh stop $(OUT)

# gcc, clang, ASan with UBSan, TSan; each test that runs a daemon runs it with ASan
test:
	@tests/lib/packages.sh build test
	@+$(MAKE) --no-print-directory -j$(JOBS) all unit-tests SAN=
	@+$(MAKE) --no-print-directory -j$(JOBS) all unit-tests SAN= OUT=$(OUT)/clang CC=clang
	@+$(MAKE) --no-print-directory -j$(JOBS) all unit-tests SAN=asan
	@+$(MAKE) --no-print-directory -j$(JOBS) all unit-tests SAN=tsan
	@tests/run --out $(OUT) --jobs $(JOBS) unit --build asan unit mount interop \
		--build tsan unit mount/control mount/catalogue

# a real Xen, emulated: slow, and not part of `make test`
test-xen:
	@tests/lib/packages.sh build xen
	@+$(MAKE) --no-print-directory -j$(JOBS) all SAN=
	@tests/xen/run.sh

bench:
	@tests/lib/packages.sh build test
	@+$(MAKE) --no-print-directory -j$(JOBS) all SAN=
	@if [ -x tests/bench/run ]; then tests/bench/run $(OUT); else echo "no benchmarks yet"; fi

fuzz:
	@tests/lib/packages.sh build test
	@+$(MAKE) --no-print-directory -j$(JOBS) fuzz-targets SAN=fuzz CC=clang
	@tests/fuzz/run $(OUT)/fuzz $(FUZZ_SECONDS)

install: all
	install -D -m 755 $(B)/qubesfs $(DESTDIR)$(SBINDIR)/qubesfs
	install -D -m 644 docs/qubesfs.8 $(DESTDIR)$(MANDIR)/man8/qubesfs.8
	install -d $(DESTDIR)$(UNITDIR)
	sed 's|@SBINDIR@|$(SBINDIR)|' docs/qubesfs.service > $(DESTDIR)$(UNITDIR)/qubesfs.service
	chmod 644 $(DESTDIR)$(UNITDIR)/qubesfs.service

uninstall:
	rm -f $(DESTDIR)$(SBINDIR)/qubesfs $(DESTDIR)$(MANDIR)/man8/qubesfs.8 \
		$(DESTDIR)$(UNITDIR)/qubesfs.service

format:
	clang-format -i $(wildcard include/qubesfs/*.h fs/*.[ch] backend/*/*.[ch] tests/*/*.[ch])

clean: demo-stop
	rm -rf $(OUT)

help:
	@echo 'make              build $(OUT)/qubesfs'
	@echo 'make demo         mount four sample VMs below $(OUT)/demo, and say what to type'
	@echo 'make demo-stop    unmount and remove them'
	@echo 'make test         everything: compilers, sanitizers, unit, mount and interop tests'
	@echo 'make test-xen     in the dom0 of a real Xen, which QEMU emulates: takes long'
	@echo 'make fuzz         each parser for FUZZ_SECONDS=$(FUZZ_SECONDS)'
	@echo 'make bench        measure'
	@echo 'make install      into PREFIX=$(PREFIX) below DESTDIR; make uninstall'
	@echo 'make format       clang-format on all sources'
	@echo 'make clean        remove $(OUT)'

.PHONY: all libs unit-tests fuzz-targets demo demo-stop test test-xen bench fuzz install uninstall format clean help
.DELETE_ON_ERROR:

# by name, not by searching $(OUT): a demo may be mounted in there
-include $(patsubst %.o,%.d,$(BACKEND_OBJECTS) $(FS_OBJECTS)) $(addsuffix .d,$(UNIT_TESTS) $(FUZZ_TARGETS))
