# SPDX-License-Identifier: GPL-2.0-or-later
# make: build/qubesfs.  make SAN=asan | SAN=tsan: the same with sanitizers below build/asan, build/tsan.
VERSION  := 0.1
PACKAGES := fuse3 libvirt libvirt-qemu libxml-2.0 libcrypto zlib

SAN ?=
B   := build$(if $(SAN),/$(SAN))

SAN_asan := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
SAN_tsan := -fsanitize=thread -fno-omit-frame-pointer

PKG_CFLAGS := $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
PKG_LIBS   := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null)

CFLAGS   ?= -O2 -g
WARNINGS := -Wall -Wextra -Wshadow -Wvla -Werror -Wstrict-prototypes -Wmissing-prototypes
CPPFLAGS += -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DQUBESFS_VERSION='"$(VERSION)"' -Iinclude
ALL_CFLAGS := -std=gnu11 $(WARNINGS) $(CFLAGS) $(SAN_$(SAN)) $(PKG_CFLAGS) -pthread -MMD -MP
ALL_LDFLAGS := $(LDFLAGS) $(SAN_$(SAN)) -pthread

BACKEND_SOURCES := $(wildcard backend/*/*.c)
FS_SOURCES      := $(wildcard fs/*.c)
BACKEND_OBJECTS := $(BACKEND_SOURCES:%.c=$(B)/%.o)
FS_OBJECTS      := $(FS_SOURCES:%.c=$(B)/%.o)
UNIT_TESTS      := $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(wildcard tests/unit/test_*.c))
TEMPLATES       := $(wildcard backend/hypervisor/templates/*.xml)

all: $(B)/qubesfs

$(B)/qubesfs: $(FS_OBJECTS) $(B)/libbackend.a
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)

$(B)/libbackend.a: $(BACKEND_OBJECTS)
	rm -f $@ && $(AR) rcs $@ $^

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -c -o $@ $<

# domain definition templates are built in; .incbin does not show up in -MMD
$(B)/backend/hypervisor/templates.o: $(TEMPLATES)

# unit tests may look behind a room's header: they are built with -Ibackend
unit-tests: $(UNIT_TESTS)

$(B)/tests/unit/%: tests/unit/%.c $(B)/libbackend.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -Ibackend -Ifs $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $< $(B)/libbackend.a -lcmocka $(PKG_LIBS)

clean:
	rm -rf build

.PHONY: all unit-tests clean
-include $(shell find $(B) -name '*.d' 2>/dev/null)
