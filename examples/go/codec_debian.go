//go:build debian

package main

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/protobuf/proto"
)

// Debian 12's grpc-go still encodes messages of before protobuf-go 1.20. Later ones, as modules
// bring them, do not need this file.
type codec struct{}

func (codec) Marshal(value interface{}) ([]byte, error) {
	return proto.Marshal(value.(proto.Message))
}

func (codec) Unmarshal(data []byte, value interface{}) error {
	return proto.Unmarshal(data, value.(proto.Message))
}

func (codec) Name() string { return "proto" }

func init() { encoding.RegisterCodec(codec{}) }
