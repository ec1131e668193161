package conformance

import (
	"context"
	"flag"
	"io/fs"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/gateway-api/apis/v1alpha2"
	"sigs.k8s.io/gateway-api/apis/v1alpha3"
	"sigs.k8s.io/gateway-api/apis/v1beta1"
	"sigs.k8s.io/gateway-api/conformance"
	"sigs.k8s.io/gateway-api/conformance/tests"
	"sigs.k8s.io/gateway-api/conformance/utils/config"
	suitekube "sigs.k8s.io/gateway-api/conformance/utils/kubernetes"
	"sigs.k8s.io/gateway-api/conformance/utils/suite"
	"sigs.k8s.io/gateway-api/pkg/consts"

	"windrose.dev/windrose/internal/translate/gateway"
)

var (
	tablePath = flag.String("table", "", "keep the table in this file too")
	cacheDir  = flag.String("cache", "../../.cache", "where echo-basic is built")
)

// className is the GatewayClass of the tests.
const className = "windrose"

func TestConformance(t *testing.T) {
	log.SetLogger(logr.Discard())
	results := &table{file: *tablePath}
	t.Cleanup(func() { os.Stdout.WriteString(results.String()) })
	cluster := startCluster(t, func(err error) {
		results.add(row{test: "(the cluster itself)", verdict: failed, why: err.Error()})
		t.Error(err)
	})
	s := newSuite(t, cluster)
	s.Setup(t, tests.ConformanceTests)
	t.Run("suite", func(t *testing.T) {
		for _, test := range tests.ConformanceTests {
			if why := whyNot(test, s.SupportedFeatures); why != "" {
				results.add(row{test: test.ShortName, verdict: notPossible, why: why})
				continue
			}
			t.Run(test.ShortName, func(t *testing.T) { results.run(t, test, s) })
		}
	})
}

// run runs a test and adds its row. The row has the time of the test itself, without the
// time that it waits for tests that are not parallel.
func (t *table) run(on *testing.T, test suite.ConformanceTest, s *suite.ConformanceTestSuite) {
	var start time.Time
	does := test.Test
	test.Test = func(on *testing.T, s *suite.ConformanceTestSuite) {
		start = time.Now()
		does(on, s)
	}
	on.Cleanup(func() { t.add(row{test: test.ShortName, verdict: verdictOf(on), took: time.Since(start)}) })
	test.Run(on, s)
}

func verdictOf(t *testing.T) verdict {
	if t.Failed() || t.Skipped() {
		return failed
	}
	return passed
}

// startCluster runs a Cluster until the test ends. Each different error in it is reported
// once.
func startCluster(t *testing.T, failed func(error)) *Cluster {
	var told sync.Map
	cluster, err := NewCluster(Config{Cache: *cacheDir, Dir: t.TempDir(), Failed: func(err error) {
		if _, again := told.LoadOrStore(err.Error(), true); !again {
			failed(err)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := cluster.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return cluster
}

func newSuite(t *testing.T, cluster *Cluster) *suite.ConformanceTestSuite {
	registerTypes(t)
	options := clientOptions()
	c, err := client.New(cluster.RESTConfig(), options)
	if err != nil {
		t.Fatal(err)
	}
	clientset, err := kubernetes.NewForConfig(cluster.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	install(t, c)
	s, err := suite.NewConformanceTestSuite(suite.ConformanceOptions{
		Client: c, ClientOptions: options, Clientset: clientset, RestConfig: cluster.RESTConfig(),
		ManifestFS: []fs.FS{&conformance.Manifests},
		ConfigurableOptions: suite.ConfigurableOptions{
			GatewayClassName: className, TimeoutConfig: timeouts(),
			CleanupTestResources:     true,
			UsableNetworkAddresses:   []gatewayv1.GatewaySpecAddress{address(cluster.addresses.usable())},
			UnusableNetworkAddresses: []gatewayv1.GatewaySpecAddress{address(cluster.addresses.unusable())},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// registerTypes registers the suite's types with its clients.
func registerTypes(t *testing.T) {
	for _, add := range []func() error{
		func() error { return gatewayv1.Install(scheme.Scheme) },
		func() error { return v1beta1.Install(scheme.Scheme) },
		func() error { return v1alpha2.Install(scheme.Scheme) },
		func() error { return v1alpha3.Install(scheme.Scheme) },
		func() error { return apiextensionsv1.AddToScheme(scheme.Scheme) },
	} {
		if err := add(); err != nil {
			t.Fatal(err)
		}
	}
}

func clientOptions() client.Options {
	return client.Options{Scheme: scheme.Scheme, Mapper: restMapper()}
}

func address(value string) gatewayv1.GatewaySpecAddress {
	kind := gatewayv1.IPAddressType
	return gatewayv1.GatewaySpecAddress{Type: &kind, Value: value}
}

// install creates what the suite expects to find: the definitions of the Gateway API, and
// a GatewayClass that lists the supported features.
func install(t *testing.T, c client.Client) {
	definition := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{
		Name:        "gateways." + gatewayGroup,
		Annotations: map[string]string{consts.BundleVersionAnnotation: consts.BundleVersion, consts.ChannelAnnotation: "experimental"},
	}}
	class := &gatewayv1.GatewayClass{
		ObjectMeta: metav1.ObjectMeta{Name: className},
		Spec:       gatewayv1.GatewayClassSpec{ControllerName: gateway.Controller},
	}
	for _, o := range []client.Object{definition, class} {
		if err := c.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	suitekube.GWCMustHaveAcceptedConditionTrue(t, c, timeouts(), className)
}

// timeouts returns short timeouts: nothing here is slow, and a failing test should fail
// soon.
func timeouts() config.TimeoutConfig {
	const wait = 5 * time.Second
	c := config.DefaultTimeoutConfig()
	for _, d := range []*time.Duration{
		&c.CreateTimeout, &c.GatewayMustHaveAddress, &c.GatewayMustHaveCondition, &c.GatewayStatusMustHaveListeners,
		&c.GatewayListenersMustHaveConditions, &c.ListenerSetMustHaveCondition, &c.ListenerSetListenersMustHaveConditions,
		&c.GWCMustBeAccepted, &c.HTTPRouteMustNotHaveParents, &c.HTTPRouteMustHaveCondition, &c.RouteMustHaveParents,
		&c.LatestObservedGenerationSet, &c.DefaultTestTimeout,
	} {
		*d = wait
	}
	c.MaxTimeToConsistency = 3 * time.Second
	c.NamespacesMustBeReady = 30 * time.Second
	c.DefaultPollInterval = 20 * time.Millisecond
	return c
}
