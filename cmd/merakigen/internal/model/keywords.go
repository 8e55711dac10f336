package model

import (
	"fmt"
	"slices"
	"strings"
)

// renamedSections are sections whose names cannot stand in a package, because a
// language that stubs are made for has the name as a keyword.
var renamedSections = map[string]string{
	"switch": "switching",
}

// keywords of the languages that stubs are made for, in lower case; a name of a
// section becomes a namespace, package or module there. What is a keyword only
// in other places of a program (Kotlin's soft keywords, Swift's contextual ones)
// is not among them.
var keywords = map[string]string{
	"C++": `alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t char16_t char32_t class
compl concept const consteval constexpr constinit const_cast continue co_await co_return co_yield decltype default
delete do double dynamic_cast else enum explicit export extern false float for friend goto if inline int long mutable
namespace new noexcept not not_eq nullptr operator or or_eq private protected public register reinterpret_cast requires
return short signed sizeof static static_assert static_cast struct switch template this thread_local throw true try
typedef typeid typename union unsigned using virtual void volatile wchar_t while xor xor_eq`,
	"Java": `abstract assert boolean break byte case catch char class const continue default do double else enum extends
final finally float for goto if implements import instanceof int interface long native new package private protected
public return short static strictfp super switch synchronized this throw throws transient try void volatile while true
false null`,
	"Python": `false none true and as assert async await break class continue def del elif else except finally for from
global if import in is lambda nonlocal not or pass raise return try while with yield`,
	"Rust": `as async await break const continue crate dyn else enum extern false fn for if impl in let loop match mod
move mut pub ref return self static struct super trait true type unsafe use where while abstract become box do final
gen macro override priv try typeof unsized virtual yield`,
	"C#": `abstract as base bool break byte case catch char checked class const continue decimal default delegate do
double else enum event explicit extern false finally fixed float for foreach goto if implicit in int interface internal
is lock long namespace new null object operator out override params private protected public readonly ref return sbyte
sealed short sizeof stackalloc static string struct switch this throw true try typeof uint ulong unchecked unsafe ushort
using virtual void volatile while`,
	"Swift": `associatedtype class deinit enum extension fileprivate func import init inout internal let open operator
private precedencegroup protocol public rethrows static struct subscript typealias var break case catch continue default
defer do else fallthrough for guard if in repeat return throw switch where while any as await false is nil self super
true try`,
	"Kotlin": `as break class continue do else false for fun if in interface is null object package return super this
throw true try typealias typeof val var when while`,
	"Go": `break case chan const continue default defer else fallthrough for func go goto if import interface map package
range return select struct switch type var`,
	"PHP": `abstract and array as break callable case catch class clone const continue declare default die do echo else
elseif empty enddeclare endfor endforeach endif endswitch endwhile eval exit extends final finally fn for foreach
function global goto if implements include instanceof insteadof interface isset list match namespace new or print
private protected public readonly require return static switch throw trait try unset use var while xor yield self parent
true false null void int float bool string iterable object mixed never`,
	"Ruby": `alias and begin break case class def defined do else elsif end ensure false for if in module next nil not or
redo rescue retry return self super then true undef unless until when while yield`,
	"TypeScript": `break case catch class const continue debugger default delete do else enum export extends false finally
for function if import in instanceof new null return super switch this throw true try typeof var void while with
implements interface let package private protected public static yield`,
}

// Keywords are those of a language.
func Keywords(language string) []string { return strings.Fields(keywords[language]) }

// speakable says which language cannot have a section's name in a package. That
// is an error and no rename by rule: the name stays for ever, so somebody has to
// choose it.
func speakable(section string) error {
	var languages []string
	for language, words := range keywords {
		if slices.Contains(strings.Fields(words), section) || slices.Contains(strings.Fields(words), strings.ReplaceAll(section, "_", "")) {
			languages = append(languages, language)
		}
	}
	if len(languages) == 0 {
		return nil
	}
	slices.Sort(languages)
	return fmt.Errorf("the section %q is a keyword of %s: give it another name in renamedSections", section, strings.Join(languages, ", "))
}
