// Asks a Diptych gateway for the object at a point and prints the area of its mask.
//
//	go run . PICTURE MODEL X,Y
//
// The address comes from DIPTYCH_ADDRESS, else localhost:50051.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"

	pb "diptych/segment/v1"
)

// gRPC stops at 4 MiB by itself.
const maxReplyBytes = 64 << 20

func ask(address, path, model string, x, y float32) (*pb.SegmentResponse, error) {
	picture, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	size := grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxReplyBytes))
	// Without TLS; newer versions of grpc-go spell it with credentials/insecure.
	connection, err := grpc.Dial(address, grpc.WithInsecure(), size)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	// Without a deadline a call waits for ever.
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	point := &pb.PointPrompt{XPx: x, YPx: y, Label: pb.PointLabel_POINT_LABEL_FOREGROUND}
	return pb.NewSegmentServiceClient(connection).Segment(ctx, &pb.SegmentRequest{
		ModelId: model,
		Image:   &pb.Image{Source: &pb.Image_Encoded{Encoded: picture}},
		Task:    pb.Task_TASK_PROMPTED_SEGMENTATION,
		Prompts: []*pb.ObjectPrompt{{Points: []*pb.PointPrompt{point}}},
	})
}

func main() {
	var x, y float32
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: go run . PICTURE MODEL X,Y")
		os.Exit(2)
	}
	if _, err := fmt.Sscanf(os.Args[3], "%g,%g", &x, &y); err != nil {
		fmt.Fprintf(os.Stderr, "X,Y: expected two numbers with a comma, got %q\n", os.Args[3])
		os.Exit(2)
	}
	address := os.Getenv("DIPTYCH_ADDRESS")
	if address == "" {
		address = "localhost:50051"
	}
	reply, err := ask(address, os.Args[1], os.Args[2], x, y)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, segment := range reply.Segments {
		fmt.Printf("score %.3f  %d px\n", segment.Score, segment.AreaPx)
	}
}
