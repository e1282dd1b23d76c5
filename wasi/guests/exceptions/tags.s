# The tags that C++ and longjmp throw with: what toolchains with exceptions have in their libraries.
	.globl	__cpp_exception
	.tagtype	__cpp_exception i32
__cpp_exception:

	.globl	__c_longjmp
	.tagtype	__c_longjmp i32
__c_longjmp:
