// Command merakigen makes the typed contract from the vendor's OpenAPI document:
//
//	merakigen -spec openapi.json.gz -out proto/meraki    write the protos and proto/SPEC
//	merakigen -spec openapi.json.gz -check               say which files would change
//	merakigen -descriptors gen/descriptors               compile proto/ into the embedded set
//	merakigen -annotations api.binpb                     a set with google.api.http, for Envoy
//	merakigen -docs docs                                 write what is counted into the pages
//
// What lies in the output directory is the lock: numbers and types in it never
// change, so the directory is read before it is written.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// Exit codes: 1 when something is wrong with what was read or written, 2 when
// the command line is.
const (
	failed = 1
	misuse = 2
)

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("merakigen", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	spec := flags.String("spec", "", "the OpenAPI `file`, plain or packed with gzip")
	out := flags.String("out", "proto/meraki", "the `directory` of the proto packages")
	check := flags.Bool("check", false, "write nothing; fail when a file would change")
	descriptors := flags.String("descriptors", "", "write the Go package of the descriptor set to this `directory`")
	annotations := flags.String("annotations", "", "write a descriptor set with google.api.http to this `file`")
	docs := flags.String("docs", "", "write what is counted of the protos into the pages of this `directory`")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintln(stdout, "merakigen -spec FILE [-out DIR] [-check] | -descriptors DIR | -annotations FILE | -docs DIR")
		flags.SetOutput(stdout)
		flags.PrintDefaults()
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "merakigen:", err)
		return misuse
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "merakigen: %q is not a flag\n", flags.Arg(0))
		return misuse
	case *spec == "" && *descriptors == "" && *annotations == "" && *docs == "":
		fmt.Fprintln(stderr, "merakigen: -spec, -descriptors, -annotations or -docs says what to do")
		return misuse
	case *check && *spec == "":
		fmt.Fprintln(stderr, "merakigen: -check needs -spec")
		return misuse
	}
	if *spec != "" {
		err = writeProtos(ctx, *spec, *out, *check, stdout)
	}
	if err == nil && *descriptors != "" {
		err = writeDescriptors(ctx, *out, *descriptors)
	}
	if err == nil && *annotations != "" {
		err = writeAnnotations(ctx, *out, *annotations)
	}
	if err == nil && *docs != "" {
		err = writeDocs(ctx, *out, *docs)
	}
	if err != nil {
		fmt.Fprintln(stderr, "merakigen:", err)
		return failed
	}
	return 0
}

// writeProtos writes the protos, or with check only compares them.
func writeProtos(ctx context.Context, spec, dir string, check bool, stdout io.Writer) error {
	document, err := readDocument(spec)
	if err != nil {
		return err
	}
	have, err := lying(dir)
	if err != nil {
		return err
	}
	made, err := generate(ctx, document, protos(have))
	if err != nil {
		return fmt.Errorf("%s: %w", spec, err)
	}
	for _, w := range made.warnings {
		fmt.Fprintln(stdout, "note:", w)
	}
	if check {
		return differences(have, made.files, stdout)
	}
	return write(dir, have, made.files)
}
